"""The scirl command."""
