"""Small text games with exact rules, on which multi-turn methods are tested and compared."""
