"""Stability of what the arms of crystal runs wrote: energies above a hull by CHGNet, SUN and MetaSUN rates.

    python benchmarks/crystal_stability.py runs/mp20-0 runs/mp20-1 --data DATASET --samples 400

Energies are of the structures as written (unrelaxed). The hull is the dataset's own rows: a partial hull, hence a
lower bound of e_hull. Rates are over all attempts; an unreadable answer or a missing energy is unstable.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import torch

from domains.crystal.answers import answer_codec, requires_tags
from domains.crystal.energy import ChgnetModel
from domains.crystal.energy_verifiers import EHull, EnergyTable
from domains.crystal.metrics import stability
from domains.crystal.options import CrystalOptions
from domains.crystal.reading import Reader
from domains.crystal.reward import build_hull, training_set
from domains.crystal.verifiers import MinDistance, Novel, Parse, Unique, Volume
from sciRL.domain import Record
from sciRL.run.results import load_arms
from sciRL.verification.base import Rubric, Stage

RATES = ("stable_share", "metastable_share", "sun_share", "metasun_share")


def stability_rubric(data: Path) -> tuple[Rubric, str]:
    """Return the rubric that measures e_hull, novelty and uniqueness, and the hull's name."""
    options = CrystalOptions()
    hull = build_hull(data, "dataset")
    if hull is None:
        raise SystemExit(f"{data} has no formation energies, so there is no hull")
    reader = Reader(answer_codec(options), requires_tags(options))
    stages = [
        Stage(Parse(reader), 1.0, gate=True),
        Stage(MinDistance(reader), 1.0, gate=True),
        Stage(Volume(reader), 1.0, gate=True),
        Stage(Novel(reader, training_set(data)), 1.0),
        Stage(Unique(reader), 1.0),
        Stage(EHull(reader, EnergyTable(ChgnetModel()), hull), 1.0),
    ]
    return Rubric("stability", stages), f"{hull.name}, {hull.n_entries} entries, partial"


def measure(records: list[Record], rubric: Rubric) -> dict[str, float]:
    """Return SUN (e_hull <= 0), MetaSUN (<= 0.1 eV/atom) and the shares below both limits."""
    scores = rubric.verify([(record.task, record.answer) for record in records])
    return {"attempts": float(len(scores))} | stability(scores)


def main() -> None:
    """Measure every arm of every run, print one table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--arms", nargs="*", help="default: all but untrained")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "crystal_stability.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rubric, hull = stability_rubric(args.data)
    table: dict[str, dict[str, Any]] = {}
    print(f"hull: {hull}; energies: CHGNet 0.3.0, unrelaxed")
    print(
        "| run | arm | attempts | e_hull <= 0 | e_hull <= 0.1 | SUN | MetaSUN |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for run in args.runs:
        arms = load_arms(run / "results")
        for name in args.arms or [name for name in arms if name != "untrained"]:
            found = measure(list(arms[name].records)[: args.samples], rubric)
            table.setdefault(run.name, {})[name] = found
            cells = " | ".join(f"{found[key]:.3f}" for key in RATES)
            print(f"| {run.name} | {name} | {int(found['attempts'])} | {cells} |", flush=True)
    payload = {"date": date.today().isoformat(), "hull": hull, "energy": "CHGNet 0.3.0, unrelaxed", "runs": table}
    args.json.write_text(json.dumps(payload, indent=1) + "\n")


if __name__ == "__main__":
    main()
