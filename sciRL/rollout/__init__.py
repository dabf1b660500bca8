"""Drawing answers from a policy: samplers, the rollout loop, schedulers."""
