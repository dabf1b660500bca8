"""Kill -9 training runs at random moments, resume them, and compare them with runs that nobody killed.

    python benchmarks/kill_resume.py --kills 20 --seed 0

Cases: the toy recipe of the tests (language: SFT, GRPO with a KL term, a control, DPO); tabular Q-learning, DQN and PPO
with memory of the nanorobot recipe `tiny`; trajectory balance with replay of the GFlowNet recipe `tiny`. Each is made
short by overrides, with a checkpoint after every step. Kills are a Poisson process over the progress of the run, about
three a run, evaluation and report included; every second one waits from its moment on until a checkpoint is being
written. A run is resumed until it is finished; then the next one begins, until all kills are spent. After each kill
every checkpoint must be readable.
Equal means: the same bytes in metrics, samples, results, policies and checkpoints (weights, tables, optimisers, replay
buffers, generators). Prints one table and writes benchmarks/results/kill_resume.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import torch

from sciRL.config import read_recipe
from sciRL.errors import UserError
from sciRL.run.checkpoint import latest_checkpoint, list_checkpoints, load_tree

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests" / "support"
KILLS_A_RUN = 3
"""Mean number."""
EVERY_STEP = ["logging.checkpoint_every=1", "logging.trackers=[]"]
SHORT_SEARCH = ["domain.duration=20", "domain.test_tasks=8", "evaluation.samples=8"]


@dataclass(frozen=True)
class Case:
    """A run to kill: the module whose `DOMAIN` it trains, its recipe and what replaces the recipe's settings."""

    module: str
    recipe: Path
    overrides: list[str]


def one_stage(domain: str, stage: str, settings: list[str], overrides: list[str]) -> Case:
    """Return one stage of a domain's recipe `tiny` alone; `settings` are of the stage, `overrides` of the run."""
    recipe = ROOT / "domains" / domain / "recipes" / "tiny.yaml"
    alone = {stage: read_recipe(recipe)[0]["stages"][stage]}
    replaced = [f"stages={json.dumps(alone)}", *(f"stages.{stage}.{setting}" for setting in settings)]
    return Case(f"domains.{domain}", recipe, [*replaced, *overrides, *EVERY_STEP])


def make_cases() -> dict[str, Case]:
    """Return the cases by name; each takes seconds of one core."""
    language = ["stages.sft.steps=30", "stages.grpo.steps=6", "stages.dpo.steps=4", *EVERY_STEP]
    table = ["steps=20", "train.environments=32", "train.steps=60"]
    # 6400 transitions pass through a buffer of 2000: when most kills come it is full and overwrites its oldest ones.
    deep = ["steps=20", "train.environments=16", "train.steps=20", "train.capacity=2000", "train.learning_starts=500"]
    deep += ["train.batch=64", "train.target_every=40"]
    memory = ["steps=20", "train.environments=16", "train.steps=16"]
    flow = [
        "steps=40",
        "train.batch=16",
        "train.replay={share: 0.25, capacity: 40}",
        "train.exploration={epsilon: 0.1}",
    ]
    return {
        "tabular_q": one_stage("nanorobot", "tabular_q", table, SHORT_SEARCH),
        "dqn": one_stage("nanorobot", "dqn", deep, SHORT_SEARCH),
        "ppo_memory": one_stage("nanorobot", "ppo_memory", memory, SHORT_SEARCH),
        "gflownet": one_stage("gflownet", "tb", flow, ["evaluation.samples=200"]),
        "language": Case("toy_domain", SUPPORT / "toy.yaml", language),
    }


@dataclass
class Kill:
    """One kill: how far the run was, whether a checkpoint was aimed at, and whether something lay half-written."""

    run: int
    step: int
    aimed: bool
    half_written: bool


@dataclass
class Result:
    """What came of one case."""

    steps: int = 0
    kills: list[Kill] = field(default_factory=list)
    checkpoints_read: int = 0
    checkpoints_unreadable: list[str] = field(default_factory=list)
    equal: list[bool] = field(default_factory=list)
    """Of each run, in order."""
    differing: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every run is equal and every checkpoint was readable."""
        return all(self.equal) and not self.checkpoints_unreadable


def digests(run: Path) -> dict[str, str]:
    """Return the hash of each file that a resumed run shares with the uninterrupted one."""
    files = [run / "metrics.jsonl", run / "samples.jsonl", *(run / "results").glob("*.json*")]
    files += [*(run / "policy").glob("*.safetensors"), *(run / "checkpoints").rglob("*.safetensors")]
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def started(case: Case, run: Path) -> subprocess.Popen[bytes]:
    """Start a run, or resume it, and return when its process has imported all and begins."""
    resume = (run / "manifest.json").exists()
    if not resume:
        # A run killed before its manifest is none: `--resume` refuses it, and so does a new run in its place.
        shutil.rmtree(run, ignore_errors=True)
    code = (
        f"import os, torch; torch.set_num_threads(1); from pathlib import Path; from {case.module} import DOMAIN; "
        "from sciRL.families import load_family; from sciRL.run.pipeline import train; load_family(DOMAIN.family); "
        "print('begun', flush=True); os.dup2(2, 1); "
        f"train(DOMAIN, Path({str(case.recipe)!r}), None, None, {case.overrides!r}, Path({str(run)!r}), {resume})"
    )
    search = os.pathsep.join([str(SUPPORT), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log_of(run).open("ab") as log:
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    begun: IO[bytes] | None = process.stdout
    assert begun is not None
    begun.readline()
    return process


def log_of(run: Path) -> Path:
    """Return where the messages of a run's processes are kept."""
    return run.with_name(f"{run.name}.log")


def ended(process: subprocess.Popen[bytes], run: Path) -> bool:
    """Return whether the process has come to its end; a failed one ends the benchmark."""
    code = process.poll()
    if code:
        sys.exit(f"the run in {run} failed:\n{log_of(run).read_text(errors='replace')[-3000:]}")
    return code is not None


@dataclass(frozen=True)
class Length:
    """How long an uninterrupted run takes."""

    steps: int
    training_s: float
    """From the beginning to the last step."""
    ending_s: float
    """From the last step on: evaluation, figures, report."""

    def moment(self, done: int, rng: random.Random) -> tuple[int, float]:
        """Return when a run that has `done` steps is killed: after so many steps, and so many seconds after that."""
        step_s = self.training_s / self.steps
        at = done * step_s + rng.expovariate(KILLS_A_RUN / (self.training_s + self.ending_s))
        after = min(int(at / step_s), self.steps)
        return after, at - after * step_s


def finish(case: Case, run: Path) -> Length:
    """Let a run come to its end and return how long it took."""
    process = started(case, run)
    began = time.time()
    process.communicate()
    end = time.time()
    ended(process, run)
    last = (run / "metrics.jsonl").stat().st_mtime
    return Length(steps(run), last - began, end - last)


def steps(run: Path) -> int:
    """Return how many steps are logged."""
    file = run / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def half_written(run: Path) -> bool:
    """Return whether some file or checkpoint is being written aside."""
    return any("partial" in path.name or "aside" in path.name for path in run.rglob(".*"))


def killed(case: Case, run: Path, number: int, moment: tuple[int, float], aimed: bool) -> Kill | None:
    """Kill a run at a moment, or at the next checkpoint after that; None when it ended before."""
    process = started(case, run)
    while steps(run) < moment[0] and not ended(process, run):
        time.sleep(0.005)
    end = time.monotonic() + moment[1]
    while time.monotonic() < end and not ended(process, run):
        time.sleep(0.002)
    checkpoints = run / "checkpoints"
    while aimed and not any(checkpoints.glob(".aside-*")) and not ended(process, run):
        time.sleep(0.0005)
    done = ended(process, run)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return None if done else Kill(number, steps(run), aimed, half_written(run))


def read_checkpoints(run: Path, result: Result) -> None:
    """Read every checkpoint that is in its place, as a resumed run would read the newest."""
    found = list_checkpoints(run / "checkpoints")
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always")
        latest_checkpoint(run / "checkpoints")
    result.checkpoints_unreadable += [str(warning.message) for warning in damaged]
    for folder in found:
        try:
            load_tree(folder / "state.safetensors")
            result.checkpoints_read += 1
        except UserError as error:
            result.checkpoints_unreadable.append(str(error))


def measure(name: str, case: Case, kills: int, rng: random.Random, folder: Path) -> Result:
    """Spend the kills on one case and compare every finished run."""
    whole, result = folder / "whole", Result()
    length = finish(case, whole)
    expected = digests(whole)
    result.steps = length.steps
    while len(result.kills) < kills:
        run = folder / f"run{len(result.equal)}"
        while len(result.kills) < kills:
            aimed = len(result.kills) % 2 == 1
            kill = killed(case, run, len(result.equal), length.moment(steps(run), rng), aimed)
            if kill is None:
                break
            result.kills.append(kill)
            read_checkpoints(run, result)
            print(f"{name}: kill {len(result.kills)} of {kills} after step {kill.step} of {result.steps}", flush=True)
        else:
            finish(case, run)
        found = digests(run)
        differing = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
        result.equal.append(not differing)
        result.differing += [f"run {len(result.equal) - 1}: {file}" for file in differing]
    return result


def print_table(results: dict[str, Result]) -> None:
    """Print one line a case."""
    print(
        f"{'case':12} {'steps':>5} {'kills':>5} {'half-written':>12} {'checkpoints read':>16} {'unreadable':>10} equal"
    )
    for name, result in results.items():
        half = sum(kill.half_written for kill in result.kills)
        print(
            f"{name:12} {result.steps:5} {len(result.kills):5} {half:12} {result.checkpoints_read:16} "
            f"{len(result.checkpoints_unreadable):10} {sum(result.equal)} of {len(result.equal)} runs"
        )
        for problem in [*result.checkpoints_unreadable, *result.differing]:
            print(f"  {problem}")


def write(path: Path, seed: int, results: dict[str, Result]) -> None:
    """Write the results as JSON."""
    cases = {
        name: {**asdict(result), "runs": len(result.equal), "runs_equal": sum(result.equal)}
        for name, result in results.items()
    }
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "seed": seed,
        "cases": cases,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the cases, print the table and write the result; exits with 1 when anything differs."""
    cases = make_cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of each case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kill_resume.json")
    options = parser.parse_args(arguments)
    results: dict[str, Result] = {}
    for name in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(f"{options.seed} {name}")
            results[name] = measure(name, cases[name], options.kills, rng, Path(folder))
        write(options.out, options.seed, results)
    print_table(results)
    sys.exit(not all(result.passed for result in results.values()))


if __name__ == "__main__":
    main()
