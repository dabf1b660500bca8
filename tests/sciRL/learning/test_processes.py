"""Two processes (gloo) train like one: the same command under torchrun, the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[2] / "support"
OVERRIDES = ["controls=false", "stages.sft.steps=5", "stages.grpo.steps=5", "stages.dpo.steps=3"]


def metrics_of(out: Path, processes: int) -> list[dict[str, float]]:
    code = (
        "import torch; torch.set_num_threads(1); from pathlib import Path; from toy_domain import DOMAIN; "
        "from sciRL.run.pipeline import train; "
        f"train(DOMAIN, Path({str(SUPPORT / 'toy.yaml')!r}), None, None, {OVERRIDES!r}, Path({str(out)!r}))"
    )
    script = out.with_suffix(".py")
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port=0"]
        launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    done = subprocess.run([*launcher, str(script)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    one, two = metrics_of(tmp_path / "one", 1), metrics_of(tmp_path / "two", 2)
    assert [row["stage"] for row in one] == [row["stage"] for row in two]
    for a, b in zip(one, two, strict=True):
        assert abs(a["loss"] - b["loss"]) <= 1e-5, (a, b)
        assert a.get("reward/mean") == b.get("reward/mean")
