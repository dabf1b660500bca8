"""`scirl data build` and `scirl data check`: from a user's file to a dataset folder."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path

from sciRL.cli.arguments import add_domain, key_values, open_domain
from sciRL.domain import Domain
from sciRL.errors import UserError

HELP = "build a dataset folder from a file of your field, or check one"
EXAMPLES = """examples:
  scirl data build crystal --source mp_20.csv --out data/mp20
  scirl data build crystal --source my_cifs/ --out data/mine --option workers=2
  scirl data check data/mp20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{build,check}")
    build = actions.add_parser("build", help="turn a source file or folder into a dataset folder")
    add_domain(build)
    build.add_argument("--source", required=True, help="the file or folder to read; a domain's page lists its formats")
    build.add_argument("--out", type=Path, required=True, help="the dataset folder to make")
    build.add_argument("--option", action="append", metavar="key=value", help="a builder's setting; repeatable")
    check = actions.add_parser("check", help="list the problems of a dataset folder")
    check.add_argument("folder", type=Path, help="the dataset folder; its manifest names the domain")


def run(args: argparse.Namespace) -> int:
    """Build or check; a folder with problems exits with 1."""
    if args.action == "build":
        domain = open_domain(args.domain)
        report = domain.build(args.source, args.out, key_values(args.option, "--option"))
        print("\n".join(report.lines()))
        for example in report.examples[:1]:
            print(f"first row:\n{textwrap.indent(example, '  ')}")
        return 0
    if not args.folder.is_dir():
        raise UserError(f"dataset folder {args.folder} does not exist")
    problems = _domain_of(args.folder).check(args.folder)
    print("\n".join(problems) if problems else f"{args.folder}: no problems found")
    return 1 if problems else 0


def _domain_of(folder: Path) -> Domain:
    """Return the domain that a dataset folder's manifest names."""
    manifest = folder / "manifest.json"
    try:
        name = json.loads(manifest.read_text(encoding="utf-8"))["domain"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{manifest} is missing or names no domain: {folder} was not made by `scirl data build`"
        ) from None
    return open_domain(str(name))
