"""Learning with its controls: runs a recipe for several seeds and prints one table of all arms.

    python benchmarks/learning.py crystal demo --seeds 0 1 2 --out runs/bench-demo
    python benchmarks/learning.py crystal mp20 --data DATASET --seeds 0 1 2 --out runs/bench-mp20

Runs that are finished are read, interrupted ones resumed. Per arm: mean and standard deviation over seeds. Per trained
arm and every other: the difference of scores, attempt by attempt of the same seed and task, its mean over the seeds and
a 95 % bootstrap interval over attempts, drawn within each seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from sciRL.domain import load_domain
from sciRL.run.pipeline import train
from sciRL.run.results import ArmResult, load_arms


def run_seed(domain: str, recipe: Path, data: Path | None, overrides: list[str], out: Path) -> dict[str, ArmResult]:
    """Return the arms of one seed's run, running or resuming it when needed."""
    if not (out / "report.html").is_file():
        resume = (out / "manifest.json").is_file()
        train(domain, recipe, data, None, [] if resume else overrides, out, resume)
    return load_arms(out / "results")


def main() -> None:
    """Run all seeds, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain")
    parser.add_argument("recipe", help="a preset of the domain")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/learning_<domain>_<recipe>.json")
    parser.add_argument("--metrics", nargs="*", default=[], help="domain metrics to tabulate beside the pass rate")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args, rest = parser.parse_known_args()
    recipe = load_domain(args.domain).recipes / f"{args.recipe}.yaml"
    overrides = args.overrides + rest
    runs = {
        seed: run_seed(args.domain, recipe, args.data, [f"seed={seed}", *overrides], args.out / f"seed-{seed}")
        for seed in args.seeds
    }
    table, compared = tabulate(runs), differences(runs)
    target = args.json or Path(__file__).parent / "results" / f"learning_{args.domain}_{args.recipe}.json"
    target.write_text(
        json.dumps(
            {
                "date": date.today().isoformat(),
                "seeds": args.seeds,
                "overrides": overrides,
                "arms": table,
                "differences": compared,
            },
            indent=1,
        )
        + "\n"
    )
    print_table(table, ["pass_rate", *args.metrics])
    for row in compared:
        low, high = row["interval"]
        print(f"{row['arm']} - {row['against']}: {row['mean']:+.3f} ({low:+.3f} to {high:+.3f})")
    print(f"written to {target}")


def tabulate(runs: dict[int, dict[str, ArmResult]]) -> dict[str, dict[str, object]]:
    """Return, per arm, its role and each metric's values by seed."""
    names = [name for name in next(iter(runs.values())) if all(name in arms for arms in runs.values())]
    out: dict[str, dict[str, object]] = {}
    for name in names:
        summaries = [arms[name].summary() for arms in runs.values()]
        shared = [key for key in summaries[0] if all(key in summary for summary in summaries)]
        first = next(iter(runs.values()))[name]
        out[name] = {
            "role": first.role,
            "description": first.description,
            "metrics": {key: [summary[key] for summary in summaries] for key in shared},
        }
    return out


def differences(runs: dict[int, dict[str, ArmResult]], resamples: int = 2000) -> list[dict[str, Any]]:
    """Return the paired difference of mean scores of every trained arm to every other that was trained at all."""
    arms = next(iter(runs.values())).values()
    pairs = [
        (arm.name, other.name)
        for arm in arms
        if arm.role == "trained"
        for other in arms
        if other.name != arm.name and other.role != "untrained"
    ]
    return [{"arm": arm, "against": other, **_paired(runs, arm, other, resamples)} for arm, other in pairs]


def _paired(runs: dict[int, dict[str, ArmResult]], arm: str, other: str, resamples: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    by_seed, drawn = [], np.zeros(resamples)
    for arms in runs.values():
        pairs = zip(arms[arm].records, arms[other].records, strict=True)
        scores = [(a.score.value, b.score.value) for a, b in pairs]
        values = np.array([a - b for a, b in scores if a is not None and b is not None])
        by_seed.append(float(values.mean()))
        drawn += values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1) / len(runs)
    return {
        "by_seed": by_seed,
        "mean": statistics.mean(by_seed),
        "interval": [float(bound) for bound in np.quantile(drawn, (0.025, 0.975))],
    }


def print_table(table: dict[str, dict[str, object]], metrics: list[str]) -> None:
    """Print mean +- sd of the metrics over seeds, and the difference to the reference arm."""
    reference = next((name for name, arm in table.items() if arm["role"] == "reference"), None)
    print("| arm | role | " + " | ".join(metrics) + " | pass rate minus reference, each seed |")
    print("| --- | --- |" + " --- |" * (len(metrics) + 1))
    for name, arm in table.items():
        values: dict[str, list[float]] = arm["metrics"]  # type: ignore[assignment]
        cells = [_cell(values[metric]) if metric in values else "" for metric in metrics]
        difference = ""
        if reference is not None and name != reference:
            base: dict[str, list[float]] = table[reference]["metrics"]  # type: ignore[assignment]
            pairs = zip(values["pass_rate"], base["pass_rate"], strict=True)
            difference = ", ".join(f"{100 * (a - b):+.1f}" for a, b in pairs)
        print(f"| {name} | {arm['role']} | " + " | ".join(cells) + f" | {difference} |")


def _cell(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} +- {spread:.3f}"


if __name__ == "__main__":
    main()
