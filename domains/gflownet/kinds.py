"""What the domain does for each kind of object: its states, its judge, its metrics and its figures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from domains.gflownet.options import GFlowNetOptions
from sciRL.domain import Figure, Record
from sciRL.flow.environment import FlowEnvironment
from sciRL.task import Json, Task
from sciRL.verification.base import Rubric

if TYPE_CHECKING:
    from domains.gflownet.hypergrid import Hypergrid

DOMAIN_NAME = "gflownet"
MODE_REWARD, MODE_DISTANCE = 0.5, 0.7
"""A molecule of at least this reward, at least this far (Tanimoto) from others, is a mode of its own."""


class Kind(ABC):
    """One kind of object under given options and data."""

    def __init__(self, options: GFlowNetOptions, data: Path) -> None:
        self.options, self.data = options, data

    @abstractmethod
    def environment(self, device: torch.device) -> FlowEnvironment:
        """Return the states in which objects are built, with their reward."""

    @abstractmethod
    def rubric(self, preset: str | None) -> Rubric:
        """Return the judge of drawn objects."""

    @abstractmethod
    def prompt(self) -> str:
        """Say in words what is drawn."""

    def reference(self) -> Json:
        """Return what the judge reads of the task."""
        return None

    def task(self) -> Task:
        """Return the one task: draw an object."""
        return Task(DOMAIN_NAME, ({"role": "user", "content": self.prompt()},), reference=self.reference())

    def summarize(self, records: Sequence[Record]) -> dict[str, float]:
        """Return metrics of drawn objects."""
        return {"distinct_share": len({record.answer for record in records}) / max(1, len(records))}

    def figures(self, arms: Mapping[str, Sequence[Record]]) -> list[Figure]:
        """Return the figures of drawn objects."""
        return []


class Grids(Kind):
    """Cells of a hypergrid."""

    def environment(self, device: torch.device) -> Hypergrid:
        """Return the grid."""
        from domains.gflownet.hypergrid import Hypergrid

        return Hypergrid(**self.options.grid.model_dump(), device=device)

    def rubric(self, preset: str | None) -> Rubric:
        """Return the rubric that passes cells of a mode."""
        from domains.gflownet.rubrics import mode_rubric

        return mode_rubric(self.environment(torch.device("cpu")))

    def prompt(self) -> str:
        """Name the grid."""
        grid = self.options.grid
        return f"Draw a cell of the {grid.dimensions}-dimensional grid of side {grid.side} ({grid.reward} reward)."

    def summarize(self, records: Sequence[Record]) -> dict[str, float]:
        """Return how many modes were met, and the mean reward."""
        found = [record.score.measurements for record in records if "mode" in record.score.measurements]
        modes = {m["mode"] for m in found if m["mode"] >= 0}
        rewards = [math.exp(m["log_reward"]) for m in found]
        return super().summarize(records) | {
            "modes_found": float(len(modes)),
            "reward_mean": sum(rewards) / max(1, len(records)),
        }

    def figures(self, arms: Mapping[str, Sequence[Record]]) -> list[Figure]:
        """Return heat maps of the sampled laws beside the true one, for grids of two dimensions."""
        from domains.gflownet.figures import law_figure
        from sciRL.flow.exact import target_law

        grid = self.environment(torch.device("cpu"))
        if grid.dimensions != 2:
            return []
        side = grid.side
        true = target_law(grid).view(side, side).tolist()
        laws = {}
        for name, records in arms.items():
            counts = Counter(record.answer for record in records)
            share = torch.zeros(side, side, dtype=torch.float64)
            for text, count in counts.items():
                share[tuple(grid.read([text])[0].tolist())] = count / len(records)
            laws[name] = share.tolist()
        return [law_figure(laws, true)]


class Bits(Kind):
    """Sequences of bits."""

    def environment(self, device: torch.device) -> FlowEnvironment:
        """Return the sequences, written in the order that the options ask for."""
        from domains.gflownet.bits import AppendBits, FillBits

        kind = AppendBits if self.options.bits.order == "append" else FillBits
        return kind(**self.options.bits.model_dump(exclude={"order"}), device=device)

    def rubric(self, preset: str | None) -> Rubric:
        """Return the rubric that passes sequences near a mode."""
        from domains.gflownet.rubrics import mode_rubric

        return mode_rubric(self.environment(torch.device("cpu")))

    def prompt(self) -> str:
        """Name the length."""
        return f"Draw a sequence of {self.options.bits.n} bits."


class Molecules(Kind):
    """Molecules; the data are those that are not novel."""

    def environment(self, device: torch.device) -> FlowEnvironment:
        """Return the trees of fragments."""
        from domains.gflownet.molecules import MoleculeEnvironment, MoleculeReward

        chosen = self.options.molecules
        reward = MoleculeReward(**chosen.model_dump(exclude={"max_nodes", "rubric"}))
        return MoleculeEnvironment(reward, chosen.max_nodes, device=device)

    def rubric(self, preset: str | None) -> Rubric:
        """Return the preset of the options or the one named, with the data as known molecules."""
        from domains.gflownet.rubrics import molecule_rubric

        chosen = self.options.molecules
        return molecule_rubric(preset or chosen.rubric, known_smiles(self.data), (chosen.logp_low, chosen.logp_high))

    def prompt(self) -> str:
        """Name the size."""
        return f"Draw a molecule of at most {self.options.molecules.max_nodes} fragments, as SMILES."

    def _samples(self, records: Sequence[Record]) -> tuple[list[str], list[float]]:
        from domains.gflownet.molecules import MoleculeReward

        reward = MoleculeReward(**self.options.molecules.model_dump(exclude={"max_nodes", "rubric"}))
        texts = [record.answer for record in records]
        return texts, [math.exp(value) for value in reward(texts)]

    def summarize(self, records: Sequence[Record]) -> dict[str, float]:
        """Return reward, diversity, modes and shares, and the mean QED (see `metrics.molecule_metrics`)."""
        from domains.gflownet.metrics import molecule_metrics

        texts, rewards = self._samples(records)
        found = molecule_metrics(texts, rewards, known_smiles(self.data), 100, MODE_REWARD, MODE_DISTANCE)
        qed = [float(record.score.measurements.get("qed", 0.0)) for record in records]
        return found | {"qed_mean": sum(qed) / max(1, len(qed))}

    def figures(self, arms: Mapping[str, Sequence[Record]]) -> list[Figure]:
        """Return reward histograms, mode discovery, top-k diversity and the best molecules of each arm."""
        from domains.gflownet.figures import mode_figure, molecule_figure, reward_figure, top_k_figure

        samples = {name: self._samples(records) for name, records in arms.items()}
        best = [molecule_figure(sample, title=f"Best molecules of {name}") for name, sample in samples.items()]
        return [
            reward_figure({name: rewards for name, (_, rewards) in samples.items()}),
            mode_figure(samples, MODE_REWARD, MODE_DISTANCE),
            top_k_figure(samples),
            *best,
        ]


class Crystals(Kind):
    """Crystals, judged and rewarded by the crystal domain's rubric over its embedded structures."""

    def environment(self, device: torch.device) -> FlowEnvironment:
        """Return the stack of choices with the rubric's score as reward."""
        from domains.gflownet.crystals import CrystalEnvironment
        from domains.gflownet.rewards import RubricReward

        chosen = self.options.crystals
        return CrystalEnvironment(RubricReward(self.rubric(None), self.task(), chosen.floor), device=device)

    def rubric(self, preset: str | None) -> Rubric:
        """Return a preset of the crystal domain."""
        from domains.crystal import DOMAIN as CRYSTAL
        from domains.crystal.options import CrystalOptions

        name = preset or self.options.crystals.rubric
        options = CrystalOptions(kinds=("unconditional",), formula_line=True, rubric=self.options.crystals.rubric)
        return CRYSTAL.rubric(CRYSTAL.default_data(), options, name)

    def prompt(self) -> str:
        """Say what is drawn."""
        return "Draw an inorganic crystal, as Wyckoff text."

    def summarize(self, records: Sequence[Record]) -> dict[str, float]:
        """Return the diversity of the crystals (see the crystal domain's metrics)."""
        from domains.crystal.metrics import diversity

        return super().summarize(records) | diversity([record.score for record in records])


KINDS: Mapping[str, type[Kind]] = {"hypergrid": Grids, "bits": Bits, "molecules": Molecules, "crystals": Crystals}


@lru_cache(maxsize=4)
def known_smiles(data: Path) -> frozenset[str]:
    """Return the canonical SMILES of a data set's training split: what is not novel."""
    from domains.gflownet.datasets import load_rows

    return frozenset(row.smiles for row in load_rows(data, "train"))


def kind_of(options: GFlowNetOptions, data: Path) -> Kind:
    """Return the kind of object that the options choose."""
    return KINDS[options.environment](options, data)
