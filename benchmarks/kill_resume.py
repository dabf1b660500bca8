"""Kill -9 a training run at random moments, resume it, and compare it with the run that nobody killed.

    python benchmarks/kill_resume.py --kills 20 --seed 0

The run is the toy recipe of the tests (SFT, GRPO with a KL term, a control, DPO) with a checkpoint after every step, so
that many kills fall inside one. A process is killed some time after it logged its first own step; it is resumed until
the run is finished; then the next run begins, until all kills are spent. Equal means: the same bytes in weights,
metrics, samples and results. Prints one table and writes benchmarks/results/kill_resume.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
OVERRIDES = ["logging.checkpoint_every=1", "stages.sft.steps=40", "stages.grpo.steps=8", "stages.dpo.steps=4"]


@dataclass
class Kill:
    """One kill: how far the run was, and whether something lay half-written."""

    run: int
    step: int
    half_written: bool


def digest(folder: Path) -> str:
    """Return the hash of weights, metrics, samples and results."""
    files = [folder / "metrics.jsonl", folder / "samples.jsonl"]
    files += sorted((folder / "policy").glob("*.safetensors")) + sorted((folder / "results").glob("*.json*"))
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()


def started(out: Path) -> subprocess.Popen[bytes]:
    """Start the run in `out`, or resume it when there is one."""
    code = (
        "import torch; torch.set_num_threads(1); from pathlib import Path; from toy_domain import DOMAIN; "
        f"from sciRL.run.pipeline import train; train(DOMAIN, Path({str(SUPPORT / 'toy.yaml')!r}), None, None, "
        f"{OVERRIDES!r}, Path({str(out)!r}), resume={(out / 'manifest.json').exists()})"
    )
    search = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)


def finish(out: Path) -> None:
    """Let the run in `out` come to its end."""
    process = started(out)
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"the run in {out} failed:\n{errors.decode()[-2000:]}")


def steps(out: Path) -> int:
    """Return how many steps are logged."""
    file = out / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def killed(out: Path, run: int, pause: float) -> Kill | None:
    """Kill the run `pause` seconds after it began to log; None when it ended before."""
    file = out / "metrics.jsonl"
    before = file.stat().st_mtime_ns if file.exists() else 0
    process = started(out)
    while process.poll() is None and not (file.exists() and file.stat().st_mtime_ns != before):
        time.sleep(0.01)
    end = time.monotonic() + pause
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    if ended:
        if process.returncode:
            sys.exit(f"the run in {out} failed:\n{errors.decode()[-2000:]}")
        return None
    return Kill(run, steps(out), any("partial" in file.name or "aside" in file.name for file in out.rglob(".*")))


def main() -> None:
    """Spend the kills, compare every finished run, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=3.0, help="longest time between first step and kill, seconds")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kill_resume.json")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills: list[Kill] = []
    equal: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        finish(whole)
        expected = digest(whole)
        while len(kills) < options.kills:
            out = Path(folder) / f"run{len(equal)}"
            while len(kills) < options.kills:
                kill = killed(out, len(equal), rng.uniform(0, options.longest))
                if kill is None:
                    break
                kills.append(kill)
                print(
                    f"kill {len(kills):2}: run {kill.run}, after step {kill.step}, half-written: {kill.half_written}",
                    flush=True,
                )
            else:
                finish(out)
            equal.append(digest(out) == expected)
            print(f"run {len(equal) - 1}: {'equal' if equal[-1] else 'DIFFERENT'}", flush=True)
        total = steps(whole)
    half = sum(kill.half_written for kill in kills)
    print(f"{len(kills)} kills in {len(equal)} runs of {total} steps, {half} of them with a file half-written: ")
    print(f"{sum(equal)} of {len(equal)} runs equal to the uninterrupted one, byte for byte")
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "seed": options.seed,
        "steps": total,
        "kills": [asdict(kill) for kill in kills],
        "runs": len(equal),
        "runs_equal": sum(equal),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.out)
    sys.exit(not all(equal))


if __name__ == "__main__":
    main()
