"""`scirl compare`: several runs (methods, seeds) in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "compare runs: mean and spread over seeds, paired differences"
EXAMPLES = """examples:
  scirl compare runs/grpo-s1 runs/grpo-s2 runs/grpo-s3
  scirl compare grpo=runs/grpo-s1 grpo=runs/grpo-s2 salt=runs/salt-s1 salt=runs/salt-s2 --out compare.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs and where the table goes."""
    parser.add_argument(
        "runs", nargs="+", metavar="[METHOD=]RUN", help="run folders; METHOD groups seeds (default: by configuration)"
    )
    parser.add_argument("--out", type=Path, help="an HTML file for the comparison")


def run(args: argparse.Namespace) -> int:
    """Print the table and write the page when asked."""
    from sciRL.run.comparison import compare_runs, comparison_html, comparison_text, parse_run

    comparison = compare_runs([parse_run(text) for text in args.runs])
    print(comparison_text(comparison))
    if args.out is not None:
        from sciRL.run.directory import write_text

        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, comparison_html(comparison))
        print(args.out)
    return 0
