"""The run: directory, checkpoints, metrics, report."""
