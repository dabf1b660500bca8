"""The learner: scoring passes, updates, optimiser and schedules."""
