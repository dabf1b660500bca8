"""Domain: a field's parts in one object, found by name through entry points.

What all domains have is in `Domain`; what a kind of learner needs besides is in `LanguageDomain`, `ControlDomain` and
`FlowDomain`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from sciRL.errors import UserError
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Rubric

if TYPE_CHECKING:
    import torch

    from sciRL.environments.conversation import ConversationEnvironment
    from sciRL.environments.vector import Controller, VectorEnvironment
    from sciRL.flow.environment import FlowEnvironment

ENTRY_POINT_GROUP = "sciRL.domains"


@dataclass(frozen=True)
class Demonstration:
    """A task with an answer to imitate: what supervised fine-tuning learns from.

    In a conversation `earlier` holds the turns before the last one, each with the reply it got.
    """

    task: Task
    answer: str
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """The whole-token strings of a domain's answer and prompt texts, for models made from scratch.

    The tokenizer splits by longest match over `tokens`; text that no token covers becomes `<unk>`.
    """

    tokens: tuple[str, ...]


@dataclass
class BuildReport:
    """What a dataset builder did: rows read and kept, rows dropped by reason, splits, output folder."""

    out: Path
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return what a person wants to know: rows kept, by split, and why others were dropped."""
        kept = [f"{self.out}: kept {self.kept} of {self.read} rows"]
        kept += [f"  {name:12s} {count}" for name, count in self.splits.items()]
        reasons = sorted(self.dropped.items(), key=lambda item: -item[1])
        dropped = [f"  {count:6d}  {reason}" for reason, count in reasons]
        return [*kept, *(["dropped (manifest.json says more):", *dropped] if dropped else [])]


@dataclass(frozen=True)
class Record:
    """One scored sample of an evaluation."""

    task: Task
    answer: str
    score: Score


@dataclass(frozen=True)
class Figure:
    """A figure of the report: a title, a caption, and inline SVG or HTML (self-contained)."""

    title: str
    caption: str
    html: str


class Domain(ABC):
    """What a domain package offers; `DOMAIN` in `domains/<name>/__init__.py` is an instance of a subclass.

    `options` below is always an instance of `Options` (the recipe's `domain:` section, validated).
    """

    name: str
    title: str
    family: Literal["language", "control", "flow"]
    Options: type[BaseModel]
    recipes: Path
    disclaimer: str = ""
    recipe_key: str | None = None
    """A short key that names a recipe on the command line: with "env", `env=NAME` is `--recipe NAME`."""

    @abstractmethod
    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn a source file or folder into a dataset folder with a manifest."""

    @abstractmethod
    def check(self, folder: Path) -> list[str]:
        """Return the problems of a dataset folder, one line each; empty when it is sound."""

    @abstractmethod
    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        """Return the tasks of a split ("train", "validation" or "test")."""

    @abstractmethod
    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        """Return a rubric (the default reward, or a named preset)."""

    @abstractmethod
    def default_data(self) -> Path:
        """Return the embedded dataset folder that is used when no data is given."""

    def summarize(self, records: Sequence[Record], data: Path | None, options: Any) -> dict[str, float]:
        """Return domain metrics of an evaluation (diversity, distribution shift); keys are metric names."""
        return {}

    def figures(self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: Any) -> list[Figure]:
        """Return the report's domain figures; `arms` maps an arm's name to its evaluation records."""
        return []

    def policy_figures(self, arm: str, policy: Any, options: Any) -> list[Figure]:
        """Return pictures of an arm's policy itself (a Q-table), for policies that can be drawn."""
        return []

    def export_samples(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the samples in the field's own file format and return the paths."""
        return []

    def page(self, data: Path, options: Any, policy: Path | None) -> Any:
        """Return the ASGI app of the domain's page; `policy` is a run or policy folder to watch, if any.

        Raises:
            UserError: the domain has no page, or a folder cannot be used.
        """
        raise UserError(f"domain {self.name!r} has no page; `scirl play` needs one that offers a page")


class LanguageDomain(Domain):
    """A domain whose policy is a language model: tasks are prompts, answers are texts."""

    family = "language"

    @abstractmethod
    def demonstrations(self, data: Path, split: str, options: Any, seed: int) -> Sequence[Demonstration]:
        """Return tasks with answers to imitate."""

    @abstractmethod
    def vocabulary(self, data: Path, options: Any) -> Vocabulary | None:
        """Return the token strings for a from-scratch model; None where the options ask for a pre-trained one."""

    def preference_pairs(
        self, builder: str, records: Sequence[Record], data: Path, options: Any, seed: int
    ) -> list[tuple[int, int]]:
        """Return (chosen, rejected) record indices by one of the domain's own pair builders."""
        raise UserError(f"domain {self.name!r} has no pair builder {builder!r}; allowed: best_vs_worst, best_vs_rest")

    def conversation(self, data: Path, options: Any) -> ConversationEnvironment | None:
        """Return the environment that replies to the policy turn by turn, or None where one answer ends a task."""
        return None

    def precise_spans(self, answer: str) -> Sequence[tuple[int, int]]:
        """Return the (start, end) characters of an answer whose tokens `precision_weight` makes count more."""
        return ()


class ControlDomain(Domain):
    """A domain whose policy acts in an environment: a task describes an episode, its answer is the episode's record."""

    family = "control"

    @abstractmethod
    def environment(self, data: Path, options: Any, n: int, device: torch.device) -> VectorEnvironment:
        """Return `n` episodes at once as a tensor environment."""

    @abstractmethod
    def controllers(self, options: Any) -> Mapping[str, Controller]:
        """Return the domain's scripted policies by name: the references that a learner is compared with."""


class FlowDomain(Domain):
    """A domain whose policy builds objects step by step and draws them in proportion to a reward."""

    family = "flow"

    @abstractmethod
    def flow_environment(self, data: Path, options: Any, device: torch.device) -> FlowEnvironment:
        """Return the graph of states in which objects are built."""


def domain_names() -> list[str]:
    """Return the names of the installed domains."""
    return sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))


def load_domain(name: str) -> Domain:
    """Import and return a domain; an unknown name or a missing extra raises `UserError`."""
    points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in points:
        raise UserError(f"unknown domain {name!r}; installed: {', '.join(sorted(points)) or 'none'}")
    try:
        domain = points[name].load()
    except ModuleNotFoundError as error:
        raise UserError(
            f"domain {name!r} needs the package {error.name!r}: install it with pip install 'sciRL[{name}]'"
        ) from error
    if not isinstance(domain, Domain):
        raise UserError(f"entry point {name!r} must be a Domain instance; found {type(domain).__name__}")
    return domain
