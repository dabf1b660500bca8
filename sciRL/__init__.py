"""sciRL: reinforcement learning for science with verifiers that can be trusted."""
