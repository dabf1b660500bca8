"""Verifiers, rubrics, answer parsing and the worker pool."""
