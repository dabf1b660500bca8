"""The sandbox against a fresh interpreter per script, which is what peers run; memory over many scripts; IoU times.

    python benchmarks/cad_throughput.py --data SHARED/cad              # 100 GenCAD programs, two processes each
    python benchmarks/cad_throughput.py --data SHARED/cad --many 5000  # and the memory of 5,000 scripts

Both sides build the same programs and take the volume, two at a time. The fresh interpreter imports CadQuery, runs the
program and prints the volume of its result; ours builds it locked in, ships it and measures it in another process. The
pool's start (the import, once) is given apart. IoU: each program against the STEP file of the same part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from domains.cad.kernel.profile import CAD
from sciRL.verification.sandbox.outcome import Job
from sciRL.verification.sandbox.pool import SandboxPool

RESULTS = Path(__file__).parent / "results" / "cad_throughput.json"
MEASURE = {"reference": None, "want": ["solid"], "seed": 0, "iou_budget_s": 5.0, "single": False}
FRESH = """
import sys
names = {}
exec(compile(sys.stdin.read(), "<script>", "exec"), names)
result = names.get("result", names.get("solid"))
print(result.val().Volume())
"""


def run_fresh(code: str) -> None:
    """Run one program in an interpreter of its own."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", FRESH], input=code, text=True, capture_output=True, env=environment, check=True
    )


def resident_mb(pids: Sequence[int]) -> float:
    """Return the memory of processes, shared pages counted in proportion (MiB)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def throughput(pool: SandboxPool, codes: Sequence[str], fresh: int, rounds: int) -> dict[str, Any]:
    """Return scripts per second of both sides, taking turns; the ratio is the median over rounds."""
    ours, theirs = [], []
    for turn in range(rounds):
        start = time.perf_counter()
        outcomes = pool.run([Job(code, MEASURE) for code in codes])
        ours.append(len(codes) / (time.perf_counter() - start))
        sample = [codes[(turn * fresh + i) % len(codes)] for i in range(fresh)]
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(run_fresh, sample))
        theirs.append(fresh / (time.perf_counter() - start))
    built = sum(outcome.ok for outcome in outcomes)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "pool_scripts_per_s": ours,
        "fresh_scripts_per_s": theirs,
        "ratio": statistics.median(ratios),
        "measured": built,
        "of": len(codes),
    }


def overlaps(pool: SandboxPool, rows: Sequence[dict[str, Any]], folder: Path) -> dict[str, float]:
    """Return seconds of the overlap of each program with its STEP file, inside the meter."""
    request = {**MEASURE, "want": ["iou"], "reference": {"kind": "step", "blob": 0}}
    jobs = [Job(row["code"], request, ((folder / row["step"]).read_bytes(),)) for row in rows]
    found = [outcome.measurements["iou"] for outcome in pool.run(jobs) if outcome.ok]
    seconds, values = sorted(item["seconds"] for item in found), [item["value"] for item in found]
    return {
        "n": len(found),
        "median_s": statistics.median(seconds),
        "p90_s": seconds[int(0.9 * len(seconds))],
        "max_s": seconds[-1],
        "mean_iou": statistics.fmean(values),
    }


def memory(pool: SandboxPool, codes: Sequence[str], jobs: int) -> dict[str, float]:
    """Return the memory of this process and the pool's after 500 scripts and after all, at rest (MiB)."""
    marks = {}
    done = 0
    while done < jobs:
        chunk = min(500, jobs - done)
        pool.run([Job(f"{codes[(done + i) % len(codes)]}\n# {done + i}", MEASURE) for i in range(chunk)])
        done += chunk
        marks[done] = resident_mb(family(os.getpid()))
        print(f"{done} scripts: {marks[done]:.0f} MiB", flush=True)
    first, last = marks[min(marks)], marks[max(marks)]
    return {"scripts": jobs, "after_500_mib": first, "after_all_mib": last, "growth": last / first - 1}


def main() -> None:
    """Run the measurements, print them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with gencad_code_test100")
    parser.add_argument("--fresh", type=int, default=12, help="scripts a round that the fresh interpreters run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=0, help="scripts of the memory measurement (0: none)")
    args = parser.parse_args()
    folder = args.data / "gencad_code_test100"
    rows = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
    codes = [row["code"] for row in rows]
    start = time.perf_counter()
    with SandboxPool(CAD, workers=2) as pool:
        found: dict[str, Any] = {"date": date.today().isoformat(), "layers": pool.layers}
        found["start_s"] = time.perf_counter() - start
        found["throughput"] = throughput(pool, codes, args.fresh, args.rounds)
        found["iou"] = overlaps(pool, rows, folder)
        if args.many:
            found["memory"] = memory(pool, codes, args.many)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
