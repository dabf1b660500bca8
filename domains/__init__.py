"""Domain packages: one room per science."""
