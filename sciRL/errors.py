"""Errors that a user can act on: the command line prints them as one line and exits with code 2."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: the message names the file, line or key, what was found and what is allowed."""
