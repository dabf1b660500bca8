"""`scirl train`: from a recipe to a trained policy and an honest report."""

from __future__ import annotations

import argparse
from pathlib import Path

from sciRL.cli.arguments import add_data, add_domain, add_overrides, open_domain, recipe_path
from sciRL.errors import UserError

HELP = "train a policy and its control arms, and write a report"
EXAMPLES = """examples:
  scirl train crystal                                   demo on the embedded data, minutes on 2 cores
  scirl train crystal --recipe tiny --data data/mp20 --out runs/mp20 seed=1
  scirl train crystal --recipe plaid-7b --data data/mp20
  scirl train crystal --resume runs/mp20                go on after a kill, bit for bit"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a training run."""
    add_domain(parser)
    parser.add_argument("--recipe", help="a preset's name (`scirl domains`) or a .yaml file (default: tiny)")
    add_data(parser)
    parser.add_argument("--model", help="a hub id, a folder, or `tiny` for one made from scratch")
    parser.add_argument("--out", type=Path, help="the run folder to make (default: runs/<domain>-<recipe>-<n>)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with an interrupted run")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    if args.resume is not None:
        fixed = [flag for flag in ("recipe", "model", "out") if getattr(args, flag) is not None]
        if fixed or args.overrides:
            extra = ", ".join([f"--{flag}" for flag in fixed] + args.overrides)
            raise UserError(f"--resume goes on with the run's own configuration; remove {extra}")
    domain = open_domain(args.domain)
    _take_recipe(args, domain.recipe_key)
    recipe = recipe_path(domain, args.recipe or "tiny") if args.resume is None else None
    out = args.resume or args.out or default_out(args.domain, Path(args.recipe or "tiny").stem)

    from sciRL.run.pipeline import train

    args.resume_hint = f"scirl train {args.domain} --resume {out}"
    print(f"writing to {out}")
    folder = train(
        domain=domain,
        recipe=recipe,
        data=args.data,
        model=args.model,
        overrides=args.overrides,
        out=out,
        resume=args.resume is not None,
    )
    print(f"policy: {folder / 'policy'}\nreport: {folder / 'report.html'}")
    return 0


def _take_recipe(args: argparse.Namespace, key: str | None) -> None:
    """Read `key=NAME` among the overrides as `--recipe NAME`."""
    found = [override for override in args.overrides if key is not None and override.startswith(f"{key}=")]
    if found and (args.recipe is not None or len(found) > 1):
        raise UserError(f"{found[-1]}: the recipe is given twice; keep one of --recipe and {key}=")
    if found:
        args.recipe = found[0].partition("=")[2]
        args.overrides = [override for override in args.overrides if override not in found]


def default_out(domain: str, recipe: str, runs: Path = Path("runs")) -> Path:
    """Return the first free `runs/<domain>-<recipe>-<n>`."""
    number = 1
    while (runs / f"{domain}-{recipe}-{number}").exists():
        number += 1
    return runs / f"{domain}-{recipe}-{number}"
