"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, TextIO

from sciRL.domain import Domain, load_domain
from sciRL.errors import UserError


def add_domain(parser: argparse.ArgumentParser) -> None:
    """Add the positional name of a domain."""
    parser.add_argument("domain", help="a domain's name, as `scirl domains` lists them")


def open_domain(name: str, stream: TextIO | None = None) -> Domain:
    """Load a domain and say what it must not be taken for, before the command says anything else.

    Args:
        name: the domain's.
        stream: where to say it; by default stdout, for commands whose output no program reads.
    """
    domain = load_domain(name)
    if domain.disclaimer:
        print(domain.disclaimer, file=stream or sys.stdout, flush=True)
    return domain


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add trailing `section.key=value` arguments."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the recipe's")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`."""
    parser.add_argument(
        "--data",
        type=Path,
        help="a dataset folder made by `scirl data build`, for train also a source file (default: embedded data)",
    )


def domain_options(domain: Domain, overrides: list[str]) -> Any:
    """Return the domain's options with `key=value` (or `domain.key=value`) settings applied."""
    from sciRL.config import load_config

    return load_config(domain.Options, None, [text.removeprefix("domain.") for text in overrides])


def recipe_path(domain: Domain, recipe: str | None) -> Path | None:
    """Return the file of a recipe: a path as it is, a bare name from the domain's presets.

    Raises:
        UserError: neither a file nor the name of a preset; the presets are listed.
    """
    if recipe is None:
        return None
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        return path
    presets = recipe_names(domain)
    if recipe not in presets:
        allowed = ", ".join(presets) or "none"
        raise UserError(f"unknown recipe {recipe!r} of domain {domain.name!r}; presets: {allowed}, or a .yaml file")
    return domain.recipes / f"{recipe}.yaml"


def recipe_names(domain: Domain) -> list[str]:
    """Return the names of a domain's presets."""
    return sorted(path.stem for path in domain.recipes.glob("*.yaml"))


def key_values(options: list[str] | None, flag: str) -> dict[str, str]:
    """Return `key=value` texts as a dictionary; a malformed or repeated one raises `UserError`."""
    found: dict[str, str] = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise UserError(f"{flag} {option!r} must look like key=value")
        if key in found:
            raise UserError(f"{flag} {key} is given twice: {found[key]!r} and {value!r}")
        found[key] = value
    return found


def positive(text: str) -> int:
    """Read a whole number above 0 (an argparse type)."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0; found {text!r}")
    return int(text)
