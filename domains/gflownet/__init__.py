"""GFlowNet samplers: grids and bit sequences with known laws, molecules from fragments, crystals judged by verifiers.

Importing this package pulls in neither torch, rdkit nor pymatgen: the parts are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domains.gflownet.options import GFlowNetOptions
from sciRL.domain import BuildReport, Figure, FlowDomain, Record
from sciRL.task import Task
from sciRL.verification.base import Rubric

if TYPE_CHECKING:
    import torch

    from sciRL.flow.environment import FlowEnvironment

_HERE = Path(__file__).parent


class GFlowNetDomain(FlowDomain):
    """Objects drawn in proportion to a reward; `DOMAIN` is its instance."""

    name = "gflownet"
    title = "GFlowNet samplers (grids, bits, molecules, crystals)"
    Options = GFlowNetOptions
    recipes = _HERE / "recipes"
    recipe_key = "env"

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn a file of SMILES into a data set: the molecules that are not novel (see `datasets.build`)."""
        from domains.gflownet import datasets

        return datasets.build(source, out, options)

    def check(self, folder: Path) -> list[str]:
        """Return the problems of a data set, one line each."""
        from domains.gflownet import datasets

        return datasets.check(folder)

    def default_data(self) -> Path:
        """Return the embedded data set of common molecules."""
        return _HERE / "data" / "common"

    def tasks(self, data: Path, split: str, options: GFlowNetOptions) -> Sequence[Task]:
        """Return the one task of every split: draw an object."""
        from domains.gflownet.kinds import kind_of

        return [kind_of(options, data).task()]

    def rubric(self, data: Path | None, options: GFlowNetOptions, preset: str | None = None) -> Rubric:
        """Return the judge of drawn objects."""
        from domains.gflownet.kinds import kind_of

        return kind_of(options, data or self.default_data()).rubric(preset)

    def flow_environment(self, data: Path, options: GFlowNetOptions, device: torch.device) -> FlowEnvironment:
        """Return the graph of states in which the chosen objects are built."""
        from domains.gflownet.kinds import kind_of

        return kind_of(options, data).environment(device)

    def summarize(self, records: Sequence[Record], data: Path | None, options: GFlowNetOptions) -> dict[str, float]:
        """Return metrics of drawn objects."""
        from domains.gflownet.kinds import kind_of

        return kind_of(options, data or self.default_data()).summarize(records)

    def figures(
        self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: GFlowNetOptions
    ) -> list[Figure]:
        """Return the figures of drawn objects."""
        from domains.gflownet.kinds import kind_of

        return kind_of(options, data or self.default_data()).figures(arms)


DOMAIN = GFlowNetDomain()
