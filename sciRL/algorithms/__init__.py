"""Algorithms: supervised fine-tuning, policy optimisation, preference optimisation."""
