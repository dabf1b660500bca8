"""Families: what a run must know of a kind of learner, so that one run loop drives them all.

A family names the sections of its recipes, its algorithms, how its policy is made, and how a policy is asked. There are
`language` (language models), `control` (policies that act in vector environments) and `flow` (GFlowNets).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sciRL.algorithms.base import Algorithm, Policy
from sciRL.algorithms.setting import Setting
from sciRL.domain import Domain
from sciRL.score import Score
from sciRL.task import Task


@dataclass(frozen=True)
class Answer:
    """What a policy answered; `failure` is the score of an episode whose environment failed: masked, never judged."""

    text: str
    failure: Score | None = None


@dataclass(frozen=True)
class AlgorithmKind:
    """An algorithm's settings, whose literal field `algorithm` names it in a stage, and how it is made from them."""

    config: type[BaseModel]
    make: Callable[[Any, Any, int], Algorithm]
    """(setting, settings of the algorithm, total steps of the stage) -> the algorithm."""


@dataclass(frozen=True)
class Family:
    """One kind of learner."""

    name: str
    sections: type[BaseModel]
    """The recipe's sections of this family alone; `compute` and `evaluation` stand here in its own form."""
    algorithms: tuple[AlgorithmKind, ...]
    setting: type[Setting]
    make_policy: Callable[[Domain, Any, Any, Path], Policy]
    """(domain, its options, the configuration, the dataset) -> the untrained policy, on its device."""
    answer: Callable[[Any, Any, Sequence[Task]], list[Answer]]
    """(setting, the `evaluation` section, tasks) -> one answer a task; a draw depends on seed, task and place alone."""
    compute_unit: str
    """What `Algorithm.compute` counts, for reports."""
    rate: str
    """Name of the metric of compute a second."""
    prepare: Callable[[Any, Any], Any] = lambda setting, config: config
    """(setting, configuration) -> the configuration with what the data say filled in; `UserError` for what a stage
    would refuse later."""
    model_name: Callable[[Any], str] = lambda config: "from scratch"
    """(configuration) -> what the run's manifest says of the model's origin."""
    measure: Callable[[Any], dict[str, float]] = lambda setting: {}
    """(setting) -> what can be said of the policy without asking it, such as the exact distance of its law."""
    reopen: Callable[[Mapping[str, Any], Path], dict[str, Any]] | None = None
    """(a run's plain configuration, its policy folder) -> the configuration under which `make_policy` opens it; None
    makes the policy from scratch and loads the folder into it."""

    def make_algorithm(self, setting: Setting, train: BaseModel, total_steps: int) -> Algorithm:
        """Build the algorithm of a stage from its `train` section."""
        kind = next(kind for kind in self.algorithms if isinstance(train, kind.config))
        return kind.make(setting, train, total_steps)


NAMES = ("language", "control", "flow")


def load_family(name: str) -> Family:
    """Import and return a family by name."""
    if name not in NAMES:
        raise ValueError(f"unknown family {name!r}; allowed: {', '.join(NAMES)}")
    family: Family = importlib.import_module(f"sciRL.families.{name}").FAMILY
    return family
