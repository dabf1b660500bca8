"""Real CadQuery programs through the sandbox: what becomes of each, beside what their data sets say.

    python benchmarks/cad_real_scripts.py --data SHARED/cad

GenCAD: each of 100 programs must run. CADPrompt: 199 of 200 give a shape, and each is compared with its published STL.
Qwen3-Coder: the status of the first 200 is compared with the file's. Examples: which of the official and contributed
scripts run standing alone. Every disagreement is listed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from domains.cad.kernel.profile import CAD
from sciRL.verification.sandbox.outcome import Job, Outcome
from sciRL.verification.sandbox.pool import SandboxPool

RESULTS = Path(__file__).parent / "results" / "cad_real_scripts.json"
SHAPE = ("ok", "not_solid", "invalid", "multi_solid")
"""Codes of programs that ran and gave a shape."""


def request(want: Sequence[str], kind: str | None = None) -> dict[str, Any]:
    """Return what the meter is asked."""
    reference = None if kind is None else {"kind": kind, "blob": 0}
    return {"reference": reference, "want": list(want), "seed": 0, "iou_budget_s": 5.0, "single": False}


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gencad(pool: SandboxPool, folder: Path) -> dict[str, Any]:
    """Run the 100 programs; the measured volume must be the file's."""
    rows = lines(folder / "tasks.jsonl")
    outcomes = pool.run([Job(row["code"], request(["solid"])) for row in rows])
    wrong = [
        f"{row['id']}: {outcome.code}: {outcome.message}"
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.code not in SHAPE
    ]
    off = [
        f"{row['id']}: {outcome.measurements['solid']['volume']:.6g}, the file says {row['measured']['volume']:.6g}"
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.ok and abs(outcome.measurements["solid"]["volume"] / row["measured"]["volume"] - 1) > 1e-6
    ]
    codes = Counter(outcome.code for outcome in outcomes)
    return {"executed": len(rows) - len(wrong), "of": len(rows), "codes": codes, "failed": wrong, "volume_differs": off}


def cadprompt(pool: SandboxPool, folder: Path) -> dict[str, Any]:
    """Run the 200 expert programs against their STL references."""
    rows = lines(folder / "tasks.jsonl")
    want = ("solid", "iou", "chamfer")
    start = time.perf_counter()
    jobs = [Job(row["code"], request(want, "stl"), ((folder / row["stl"]).read_bytes(),)) for row in rows]
    outcomes = pool.run(jobs)
    seconds = time.perf_counter() - start
    # A reference that cannot be measured says nothing of the program: it is run once more on its own.
    again = [index for index, outcome in enumerate(outcomes) if outcome.fault == "sandbox"]
    alone = dict(zip(again, pool.run([Job(rows[i]["code"], request(["solid"])) for i in again]), strict=True))
    final = [alone.get(index, outcome) for index, outcome in enumerate(outcomes)]
    overlap = [o.measurements["iou"]["value"] for o in outcomes if o.ok]
    chamfer = [o.measurements["chamfer"]["value"] for o in outcomes if o.ok]
    return {
        "shape": sum(outcome.code in SHAPE for outcome in final),
        "sound": sum(outcome.ok for outcome in final),
        "single_solid": sum(o.ok and o.measurements["solid"]["n_solids"] == 1 for o in final),
        "of": len(rows),
        "codes": Counter(outcome.code for outcome in final),
        "compared": len(overlap),
        "iou_median": statistics.median(overlap),
        "iou_mean_failures_as_0": sum(overlap) / len(rows),
        "iou_at_least_0.95": sum(value >= 0.95 for value in overlap),
        "chamfer_median_x1000": statistics.median(chamfer),
        "box_within_1_percent": sum(_box_agrees(o) for o in outcomes if o.ok),
        "seconds": seconds,
        "not_compared": [f"{rows[i]['id']}: {outcomes[i].message}" for i in again],
        "no_shape": [
            f"{row['id']}: {o.code}: {o.message}" for row, o in zip(rows, final, strict=True) if o.code not in SHAPE
        ],
    }


def _box_agrees(outcome: Outcome) -> bool:
    found, wanted = outcome.measurements["solid"]["box"], outcome.measurements["reference"]["solid"]["box"]
    return all(abs(a - b) <= 0.01 * b for a, b in zip(found, wanted, strict=True))


def qwen(pool: SandboxPool, path: Path, first: int) -> dict[str, Any]:
    """Compare the status of the first programs with the file's: "shape" where it gives one."""
    rows = lines(path)[:first]
    outcomes = pool.run([Job(row["code"], request(["solid"])) for row in rows])
    differ = [
        f"{row['id']}: the file says {row['status']} ({row['err'] or row['measured']}), here {o.code}: {o.message}"
        for row, o in zip(rows, outcomes, strict=True)
        if (row["status"] == "shape") != (o.code in SHAPE)
    ]
    return {"of": len(rows), "codes": Counter(o.code for o in outcomes), "disagree": differ}


def examples(pool: SandboxPool, folder: Path) -> dict[str, Any]:
    """Run the official and contributed scripts standing alone."""
    paths = sorted(folder.rglob("*.py"))
    outcomes = pool.run([Job(path.read_text(encoding="utf-8"), request(["solid"])) for path in paths])
    failed = [
        f"{path.parent.name}/{path.name}: {outcome.code}: {outcome.message}"
        for path, outcome in zip(paths, outcomes, strict=True)
        if outcome.code not in SHAPE
    ]
    return {"executed": len(paths) - len(failed), "of": len(paths), "failed": failed}


def main() -> None:
    """Run all four sets, print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four sets")
    args = parser.parse_args()
    with SandboxPool(CAD, workers=2) as pool:
        found: dict[str, Any] = {"date": date.today().isoformat(), "layers": pool.layers}
        found["gencad"] = gencad(pool, args.data / "gencad_code_test100")
        found["cadprompt"] = cadprompt(pool, args.data / "cadprompt200")
        found["qwen3coder"] = qwen(pool, args.data / "qwen3coder_scripts" / "scripts.jsonl", 200)
        found["examples"] = examples(pool, args.data / "cadquery_examples")
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
