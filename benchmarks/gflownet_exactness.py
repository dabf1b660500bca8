"""How close GFlowNets come to the exact law of a hypergrid, and after how many trajectories every mode was met.

The 8 x 8 grid with R0 = 0.1, 600 iterations of 64 trajectories, five losses: the distance is SUM |p - q| over cells, by
dynamic programming, and log Z is the policy's estimate beside the exact one. The 4D grid of side 8 with R0 = 1e-3
(4,096 cells, 16 modes), trajectory balance with and without exploration: trajectories drawn in training until the last
mode was met.

    python benchmarks/gflownet_exactness.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import l1_distance, log_partition, target_law, terminal_law
from sciRL.flow.network import FlowPolicy
from sciRL.flow.rollout import Trajectories
from sciRL.flow.trainer import FlowSettings, FlowTrainer

LOSSES = ("tb", "db", "subtb", "fl-subtb", "zvar")
ITERATIONS, BATCH = 600, 64
MOST_TRAJECTORIES = 100_000


class ModeCounter(FlowTrainer):
    """A trainer that remembers which modes of a hypergrid its own draws have met."""

    def __init__(self, grid: Hypergrid, settings: FlowSettings, generator: torch.Generator) -> None:
        super().__init__(grid, settings, generator)
        self.grid = grid
        self.met: set[int] = set()

    def _batch(self, environment: FlowEnvironment, policy: FlowPolicy) -> tuple[Trajectories, Trajectories | None]:
        drawn = super()._batch(environment, policy)
        self.met |= set(self.grid.mode_of(self._base_states(drawn[0].objects)).tolist()) - {-1}
        return drawn


def exactness(loss: str, seed: int) -> dict[str, Any]:
    """Return distance and error of log Z on the 8 x 8 grid."""
    environment = Hypergrid(2, 8)
    settings = FlowSettings.model_validate(
        {"batch": BATCH, "loss": {"name": loss}, "optimiser": {"decay_steps": ITERATIONS}}
    )
    trainer = FlowTrainer(environment, settings, torch.Generator().manual_seed(seed))
    for _ in range(ITERATIONS):
        last = trainer.step()
    distance = l1_distance(terminal_law(environment, trainer.network), target_law(environment))
    error = abs(last["log_z"] - log_partition(environment))
    return {"loss": loss, "seed": seed, "l1": round(distance, 5), "log_z_error": round(error, 5)}


def modes(epsilon: float, seed: int) -> dict[str, Any]:
    """Return after how many trajectories every mode of the 4D grid had been met; None: not within the budget."""
    environment = Hypergrid(4, 8, r0=1e-3)
    settings = FlowSettings.model_validate({"batch": BATCH, "exploration": {"epsilon": epsilon}})
    trainer = ModeCounter(environment, settings, torch.Generator().manual_seed(seed))
    drawn = 0
    while len(trainer.met) < environment.n_modes and drawn < MOST_TRAJECTORIES:
        trainer.step()
        drawn += BATCH
    complete = len(trainer.met) == environment.n_modes
    return {"epsilon": epsilon, "seed": seed, "modes": len(trainer.met), "trajectories": drawn if complete else None}


def main() -> None:
    """Print one line a run and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gflownet_exactness.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, Any]]] = {"grid_2d": [], "grid_4d": []}
    for loss in LOSSES:
        for seed in options.seeds:
            rows["grid_2d"].append(exactness(loss, seed))
            print(rows["grid_2d"][-1], flush=True)
    for epsilon in (0.0, 0.05):
        for seed in options.seeds:
            rows["grid_4d"].append(modes(epsilon, seed))
            print(rows["grid_4d"][-1], flush=True)
    options.out.write_text(json.dumps({"iterations": ITERATIONS, "batch": BATCH, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
