"""The profile: what the sandbox loads, in a fresh interpreter as the sandbox would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cadquery")

from domains.cad.kernel.profile import CAD, cad_profile
from domains.cad.screen import ALLOWED_MODULES

ROOT = Path(__file__).resolve().parents[4]

PROBE = """
import importlib, sys
from domains.cad.kernel.profile import CAD
for module in (*CAD.preload, *CAD.modules):
    importlib.import_module(module)
def threads():
    return int(open("/proc/self/status").read().split("Threads:")[1].split()[0])
before, loaded = threads(), set(sys.modules)
from domains.cad.kernel.meter import FILES, MEASURES, measure
from domains.cad.kernel.runner import run
program = "import cadquery as cq\\nresult = cq.Workplane().box(1, 2, 3).faces('>Z').workplane().hole(0.3)"
payload = run(program)
request = {"reference": {"kind": "step", "blob": 0}, "seed": 0, "iou_budget_s": 5.0, "single": True}
step = measure(payload, request | {"reference": None, "want": ["step"]}, ())[1][0]
measure(payload, request | {"want": [*MEASURES, *FILES]}, (step,))
late = {name for name in set(sys.modules) - loaded if "." in name and sys.modules[name] is not None}
print(before, sorted(late))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_thread_after_loading_and_nothing_left_to_import() -> None:
    environment = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(None, 1) == ["1", "[]\n"]


def test_programs_may_import_what_the_screen_allows() -> None:
    assert CAD.modules == ALLOWED_MODULES
    assert {"cadquery", "math", "numpy"} <= set(CAD.modules)


def test_the_wall_limit_is_the_recipe_s() -> None:
    assert cad_profile(CAD.limits.wall_s) == CAD
    assert cad_profile(4.0).limits.wall_s == 4.0
    assert cad_profile(4.0).limits.cpu_s == 2.0
