"""`scirl sample`: answers of a policy, scored, in the field's own file format."""

from __future__ import annotations

import argparse
from pathlib import Path

from sciRL.cli.arguments import add_data, add_domain, add_overrides, open_domain, positive

HELP = "draw answers from a run or a model and write them as files of the field"
EXAMPLES = """examples:
  scirl sample crystal runs/mp20 -n 100 --out samples/        CIF files and a table
  scirl sample crystal runs/mp20 -n 20 --out samples/ domain.conditions=[sg]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of sampling."""
    add_domain(parser)
    parser.add_argument("policy", help="a run folder, a model folder or a hub id")
    add_data(parser)
    parser.add_argument("-n", type=positive, default=20, help="how many answers to draw (default: 20)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Sample and say what was written."""
    domain = open_domain(args.domain)

    from sciRL.run.inference import sample

    paths = sample(args.policy, domain, data=args.data, n=args.n, out=args.out, overrides=args.overrides)
    print(f"wrote {len(paths)} files to {args.out}")
    return 0
