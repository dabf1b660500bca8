"""`scirl domains`: what is installed."""

from __future__ import annotations

import argparse

from sciRL.cli.arguments import recipe_names
from sciRL.domain import domain_names, load_domain
from sciRL.errors import UserError

HELP = "list the installed domains and their recipes"
EXAMPLES = "example:\n  scirl domains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print one line for each domain, and its recipes."""
    names = domain_names()
    if not names:
        print("no domain is installed; install sciRL with an extra, for example: pip install 'sciRL[crystal]'")
    for name in names:
        try:
            domain = load_domain(name)
        except UserError as error:
            print(f"{name:12s} not usable: {error}")
            continue
        print(f"{name:12s} {domain.title}")
        print(f"{'':12s} recipes: {', '.join(recipe_names(domain)) or 'none'}")
        if domain.disclaimer:
            print(f"{'':12s} {domain.disclaimer}")
    return 0
