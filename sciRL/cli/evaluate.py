"""`scirl evaluate`: a policy on held-out tasks, with intervals."""

from __future__ import annotations

import argparse
from pathlib import Path

from sciRL.cli.arguments import add_data, add_domain, add_overrides, open_domain, positive

HELP = "score a run or a model on held-out tasks"
EXAMPLES = """examples:
  scirl evaluate crystal runs/mp20 --split test -n 1000
  scirl evaluate crystal Qwen/Qwen2.5-7B --data data/mp20 -n 200 --out results/base"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of an evaluation."""
    add_domain(parser)
    parser.add_argument("policy", help="a run folder, a model folder or a hub id")
    add_data(parser)
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="default: test")
    parser.add_argument("-n", type=positive, default=500, help="how many answers to draw (default: 500)")
    parser.add_argument("--out", type=Path, help="a folder for the scored answers")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the summary that the run's machinery returns."""
    domain = open_domain(args.domain)

    from sciRL.run.inference import evaluate

    result = evaluate(
        args.policy,
        domain,
        data=args.data,
        split=args.split,
        n=args.n,
        out=args.out,
        overrides=args.overrides,
    )
    low, high = result.pass_interval
    print(f"{result.name}: passed {result.passed} of {result.n} ({result.pass_rate:.3f}, 95 % {low:.3f} to {high:.3f})")
    for name, value in {**result.summary(), **{f"part/{k}": v for k, v in result.components.items()}}.items():
        print(f"  {name:32s} {value:.4g}")
    print("  status: " + ", ".join(f"{count} {status}" for status, count in sorted(result.statuses.items())))
    return 0
