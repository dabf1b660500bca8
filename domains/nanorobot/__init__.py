"""Nanorobot search: a micro-swimmer that smells a tumour's biomarker and must reach it by run and tumble.

Importing this package registers the Gymnasium environment `sciRL/Nanorobot-v0` (where Gymnasium is installed) and
imports neither torch nor scipy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.nanorobot.options import NanorobotOptions
from sciRL.domain import BuildReport, ControlDomain, Figure, Record
from sciRL.task import Task
from sciRL.verification.base import Rubric

if TYPE_CHECKING:
    import torch

    from sciRL.environments.vector import Controller, VectorEnvironment

GYMNASIUM_ID = "sciRL/Nanorobot-v0"
_HERE = Path(__file__).parent


def make_environment(options: NanorobotOptions, n: int, device: torch.device) -> VectorEnvironment:
    """Return the tensor environment of the options: `NanorobotEnvironment`, or that of preset kavousinejad2024."""
    if options.preset == "kavousinejad2024":
        from domains.nanorobot.kavousinejad import Kavousinejad2024Environment

        return Kavousinejad2024Environment(options, n, device)
    from domains.nanorobot.environment import NanorobotEnvironment

    return NanorobotEnvironment(options, n, device)


class NanorobotDomain(ControlDomain):
    """Nanorobot search as a sciRL domain; `DOMAIN` is its instance. Its data are scenario files (see `datasets`)."""

    name = "nanorobot"
    title = "Nanorobot search along biomarker gradients"
    Options = NanorobotOptions
    recipes = _HERE / "recipes"
    disclaimer = "Research software: a simulator for the study of methods, without any medical claim."

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn a file of tumours and obstacles into a scenario folder (see `datasets.build`)."""
        from domains.nanorobot import datasets

        return datasets.build(source, out, options)

    def check(self, folder: Path) -> list[str]:
        """Return the problems of a scenario folder, one line each."""
        from domains.nanorobot import datasets

        return datasets.check(folder)

    def default_data(self) -> Path:
        """Return the embedded scenario: one tumour in the middle of the box."""
        return _HERE / "data" / "standard"

    def tasks(self, data: Path, split: str, options: NanorobotOptions) -> Sequence[Task]:
        """Return one task per held-out start condition."""
        from domains.nanorobot.datasets import with_scenario
        from domains.nanorobot.tasks import make_tasks

        return make_tasks(with_scenario(options, data), split)

    def rubric(self, data: Path | None, options: NanorobotOptions, preset: str | None = None) -> Rubric:
        """Return the rubric preset (`success` by default)."""
        from domains.nanorobot.rubric import make_rubric

        return make_rubric(preset or "success")

    def environment(self, data: Path, options: NanorobotOptions, n: int, device: torch.device) -> VectorEnvironment:
        """Return `n` searches at once in the scenario of `data`."""
        from domains.nanorobot.datasets import with_scenario

        return make_environment(with_scenario(options, data), n, device)

    def controllers(self, options: NanorobotOptions) -> Mapping[str, Controller]:
        """Return the scripted policies: random, run_tumble_8, run_tumble_20 (by their gain alpha), and the oracle."""
        from domains.nanorobot.policies import OraclePolicy, RandomPolicy, RunTumblePolicy

        return {
            "random": RandomPolicy(),
            "run_tumble_8": RunTumblePolicy(8.0),
            "run_tumble_20": RunTumblePolicy(20.0),
            "oracle": OraclePolicy(),
        }

    def summarize(self, records: Sequence[Record], data: Path | None, options: NanorobotOptions) -> dict[str, float]:
        """Return success share and search times (see `metrics.summarize`)."""
        from domains.nanorobot.metrics import summarize

        return summarize(records)

    def figures(
        self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: NanorobotOptions
    ) -> list[Figure]:
        """Return the report's figures: trajectories in the field, success over time, an animation."""
        from domains.nanorobot.figures import make_figures

        return make_figures(arms, data or self.default_data(), options)

    def policy_figures(self, arm: str, policy: Any, options: NanorobotOptions) -> list[Figure]:
        """Return the Q-table of a tabular policy as a picture."""
        from domains.nanorobot.q_table import q_table_figure
        from sciRL.control.actors import TableActor

        actor = policy.actor
        return [q_table_figure(actor.values, arm, options)] if isinstance(actor, TableActor) else []

    def export_samples(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write trajectories and a summary as CSV."""
        from domains.nanorobot.figures import export_samples

        return export_samples(records, folder)


DOMAIN = NanorobotDomain()


def _register() -> None:
    import gymnasium

    if GYMNASIUM_ID not in gymnasium.registry:
        module = "domains.nanorobot.gymnasium_env"
        gymnasium.register(
            GYMNASIUM_ID, entry_point=f"{module}:NanorobotEnv", vector_entry_point=f"{module}:NanorobotVectorEnv"
        )


if find_spec("gymnasium") is not None:
    _register()
