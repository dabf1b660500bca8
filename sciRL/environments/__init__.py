"""Environments: batched tensor environments, and what drives them."""
