"""`scirl report`: make the report of a finished run again."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write the report of a finished run again"
EXAMPLES = "example:\n  scirl report runs/mp20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run."""
    parser.add_argument("run", type=Path, help="a run folder")


def run(args: argparse.Namespace) -> int:
    """Write `report.html` from what the run folder holds."""
    from sciRL.run.directory import RunDirectory
    from sciRL.run.report import rewrite_report

    disclaimer = RunDirectory.open(args.run).read_manifest().get("disclaimer")
    print("\n".join(filter(None, [disclaimer, str(rewrite_report(args.run))])))
    return 0
