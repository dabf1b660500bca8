"""CPU time of a GFlowNet iteration on hypergrids, beside torchgfn, and the exact distance both reach.

TB, P_B learned from a shared trunk, MLP 2x256 LeakyReLU, one-hot cells, Adam 1e-3 (log Z 1e-1), R0 = 0.1, one thread.
torchgfn wants other versions of the common libraries, so it runs in a process of its own interpreter; the three
variants take turns of a few iterations, and a ratio is the median over turns of (torchgfn's / ours). Times are process
CPU seconds. The distance is SUM |p - q| of the exact terminal law (no sampling), after `--train` iterations more.

    python benchmarks/gflownet_step.py                                     # ours alone
    python benchmarks/gflownet_step.py --torchgfn-python <venv>/bin/python # with torchgfn 2.4.1 installed there
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.exact import l1_distance, reach, target_law, terminal_law
from sciRL.flow.graph import StateGraph
from sciRL.flow.trainer import FlowSettings, FlowTrainer

CASES = ((2, 8, 64), (2, 8, 512), (4, 8, 64), (4, 8, 512))
"""Dimensions, side, batch."""
VARIANTS = ("visited", "tables")


class Peer:
    """torchgfn in its own interpreter, told what to do over a pipe."""

    def __init__(self, python: str) -> None:
        worker = Path(__file__).with_name("torchgfn_worker.py")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the torchgfn worker ended: does its interpreter have torchgfn 2.4.1?")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker."""
        self._process.communicate()


def trainer(dimensions: int, side: int, batch: int, variant: str, seed: int) -> FlowTrainer:
    """Return our trainer with the tables on or off."""
    tables = {"visited": "never", "tables": "always"}[variant]
    settings = FlowSettings.model_validate({"batch": batch, "tables": tables})
    return FlowTrainer(Hypergrid(dimensions, side), settings, torch.Generator().manual_seed(seed))


def time_case(case: tuple[int, int, int], peer: Peer | None, turns: int, n: int) -> dict[str, Any]:
    """Return milliseconds of CPU time an iteration of each variant, and the ratios."""
    ours = {variant: trainer(*case, variant, seed=0) for variant in VARIANTS}
    if peer is not None:
        peer.ask(do="make", name="timed", dimensions=case[0], side=case[1], batch=case[2], seed=0)
    times: dict[str, list[float]] = {}
    for turn in range(turns + 1):
        spent = {}
        for variant, made in ours.items():
            begin = time.process_time()
            for _ in range(n):
                made.step()
            spent[variant] = time.process_time() - begin
        if peer is not None:
            spent["torchgfn"] = peer.ask(do="step", name="timed", n=n)["cpu_s"]
        for variant, seconds in spent.items():
            if turn:  # the first turn warms up
                times.setdefault(variant, []).append(1000 * seconds / n)
    row: dict[str, Any] = {"dimensions": case[0], "side": case[1], "batch": case[2]}
    row |= {f"{variant}_ms": round(statistics.median(values), 2) for variant, values in times.items()}
    for variant in VARIANTS:
        if "torchgfn" in times:
            ratios = [peer_ms / our_ms for peer_ms, our_ms in zip(times["torchgfn"], times[variant], strict=True)]
            row[f"ratio_{variant}"] = round(statistics.median(ratios), 2)
            row[f"ratio_{variant}_least"] = round(min(ratios), 2)
    return row


def distances(peer: Peer | None, iterations: int, seed: int) -> dict[str, float]:
    """Return the exact distance on the 2D grid of side 8 after so many iterations of 64 trajectories."""
    environment = Hypergrid(2, 8)
    graph, target = StateGraph.of(environment), target_law(environment)
    made = trainer(2, 8, 64, "visited", seed)
    for _ in range(iterations):
        made.step()
    found = {"ours": l1_distance(terminal_law(environment, made.network), target)}
    if peer is not None:
        peer.ask(do="make", name="trained", dimensions=2, side=8, batch=64, seed=seed)
        peer.ask(do="step", name="trained", n=iterations)
        answer = peer.ask(do="law", name="trained", cells=graph.states.tolist())
        log_forward = torch.tensor(answer["log_forward"], dtype=torch.float64)
        law = reach(graph, log_forward) * log_forward[:, environment.stop].exp()
        found["torchgfn"] = l1_distance(law, target)
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Time all cases, train both, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--torchgfn-python", help="an interpreter that has torchgfn")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=10, help="of each variant in a turn")
    parser.add_argument("--train", type=int, default=200, help="iterations before the distance is taken")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gflownet_step.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peer = Peer(options.torchgfn_python) if options.torchgfn_python else None
    rows = []
    for case in CASES:
        rows.append(time_case(case, peer, options.turns, options.iterations))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    trained = [distances(peer, options.train, seed) for seed in range(options.seeds)]
    for seed, found in enumerate(trained):
        print(f"seed {seed}: SUM |p - q| after {options.train} iterations of 64, 2D H=8: {found}")
    version = None
    if peer is not None:
        version = peer.ask(do="make", name="version", dimensions=2, side=8, batch=1, seed=0)["version"]
        peer.close()
    result = {
        "settings": {k: v for k, v in vars(options).items() if k not in ("out", "torchgfn_python")},
        "torch": torch.__version__,
        "torchgfn": version,
        "processor": platform.processor() or platform.machine(),
        "cpu_ms_per_iteration": rows,
        "l1_after_training": trained,
    }
    aside = options.out.with_suffix(".part")
    aside.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(aside, options.out)


if __name__ == "__main__":
    main()
