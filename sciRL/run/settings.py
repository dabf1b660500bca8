"""RunConfig: the recipe of a run, as stages that hand a policy on.

    stages:
      sft:       {steps: 600, role: reference, train: {algorithm: supervised}}
      grpo:      {start: sft, steps: 100, train: {algorithm: policy_optimization}}
      continued: {start: sft, steps: 2000, role: control, compute_of: grpo, train: {algorithm: supervised}}
      shuffled:  {like: grpo, role: control, train: {shuffle_rewards: true}}

Each stage starts from the policy another one ended with (or from the untrained model) and is evaluated on
the same held-out tasks; together they are the arms of the report.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from sciRL.algorithms.setting import ComputeConfig
from sciRL.config import shown
from sciRL.domain import Domain
from sciRL.errors import UserError

OPTIONAL_ROLES = ("control", "warning", "bound")


class StageConfig(BaseModel):
    """One training stage: where it starts, how long it lasts, what it is in the report."""

    model_config = ConfigDict(extra="forbid")

    start: str | None = None
    """The stage whose policy it starts from; null starts from the untrained model."""
    steps: int = Field(ge=1)
    """Training steps (with `compute_of`, at most so many)."""
    compute_of: str | None = None
    """End when as much compute (language models: token passes) was spent as there: the equal-compute control."""
    role: Literal["reference", "trained", "control", "warning", "bound"] = "trained"
    """What the arm is in the report: reference (SFT, a textbook policy), trained (the claim), control, warning, or an
    upper bound that knows what no policy may know."""
    description: str = ""
    """One sentence for the report."""
    train: Any
    """The algorithm and its settings: one of those of the domain's family."""


class EvaluationConfig(BaseModel):
    """How every arm is judged."""

    model_config = ConfigDict(extra="forbid")

    samples: int = Field(400, ge=1)
    """Answers drawn for held-out tasks, one a task, tasks repeating when there are fewer."""
    split: str = "test"
    """Split whose tasks are asked."""
    rubric: str | None = None
    """Preset that judges; null takes the domain's default."""
    untrained: bool = True
    """Whether the model before any training is an arm."""
    every: int = Field(0, ge=0)
    """Training steps between held-out evaluations inside a stage; 0 is none."""
    samples_every: int = Field(128, ge=1)
    """Answers of such an evaluation."""


class LoggingConfig(BaseModel):
    """What is written besides metrics.jsonl."""

    model_config = ConfigDict(extra="forbid")

    checkpoint_every: int = Field(50, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(2, ge=1)
    """Checkpoints kept besides the stages' ends."""
    samples_every: int = Field(10, ge=1)
    """Steps between entries of samples.jsonl."""
    samples: int = Field(4, ge=0)
    """Training answers an entry."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Other places metrics go: tensorboard, wandb."""


class PolicyConfig(BaseModel):
    """What it takes to ask a policy; `domain` holds the options of the domain."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(0, ge=0)
    """Seed of data order, sampling and initial weights."""
    compute: ComputeConfig = ComputeConfig()
    """Devices, precision, workers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Held-out evaluation."""


class RunConfig(PolicyConfig):
    """Everything that decides a run."""

    stages: dict[str, StageConfig] = Field(min_length=1)
    """The stages, in order."""
    final: str | None = None
    """Stage whose policy is exported; null takes the first of role trained, else the last."""
    controls: bool = True
    """Whether stages of role control, warning and bound are run."""
    logging: LoggingConfig = LoggingConfig()
    """Logs and checkpoints."""

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        seen: list[str] = []
        for name, stage in self.stages.items():
            if name == "untrained":
                raise ValueError("stages.untrained: this name is kept for the model before training")
            for key in ("start", "compute_of"):
                value = getattr(stage, key)
                if value is not None and value not in seen:
                    allowed = ", ".join(seen) or "none (it is the first stage)"
                    raise ValueError(f"stages.{name}.{key} is {shown(value)}; allowed: an earlier stage: {allowed}")
            seen.append(name)
        if self.final is not None and self.final not in seen:
            raise ValueError(f"final is {shown(self.final)}; allowed: {', '.join(seen)}")
        return self

    def active_stages(self) -> dict[str, StageConfig]:
        """Return the stages that are run."""
        wanted = {n: s for n, s in self.stages.items() if self.controls or s.role not in OPTIONAL_ROLES}
        for name, stage in wanted.items():
            for other in (stage.start, stage.compute_of):
                if other is not None and other not in wanted:
                    raise UserError(f"stages.{name} needs stage {other!r}, which controls=false leaves out")
        return wanted

    def final_stage(self) -> str:
        """Return the name of the stage whose policy is exported."""
        stages = self.active_stages()
        if self.final is not None:
            return self.final
        trained = [name for name, stage in stages.items() if stage.role == "trained"]
        return trained[0] if trained else list(stages)[-1]


Config = TypeVar("Config", bound=PolicyConfig)


def for_domain(config_class: type[Config], domain: Domain) -> type[Config]:
    """Return the configuration class with the domain's options, and the sections and algorithms of its family."""
    from sciRL.families import load_family

    family = load_family(domain.family)
    options: Any = domain.Options
    fields: dict[str, Any] = {"domain": (options, options())}
    if issubclass(config_class, RunConfig):
        kinds: Any = Union[tuple(kind.config for kind in family.algorithms)]  # noqa: UP007  (a union of a tuple)
        train: Any = Annotated[kinds, Field(discriminator="algorithm")] if len(family.algorithms) > 1 else kinds
        stage: Any = create_model("StageConfig", __base__=StageConfig, train=(train, ...))
        fields["stages"] = (dict[str, stage], Field(min_length=1))
    bases: Any = (family.sections, config_class)
    return cast(type[Config], create_model(config_class.__name__, __base__=bases, **fields))


def fill_likes(data: dict[str, Any]) -> dict[str, Any]:
    """Replace `like: other` in stages by that stage's settings, overlaid with the stage's own."""
    stages = data.get("stages")
    if not isinstance(stages, Mapping):
        return data
    filled: dict[str, Any] = {}
    for name, stage in stages.items():
        if isinstance(stage, Mapping) and "like" in stage:
            other = stage["like"]
            if not isinstance(other, str) or other not in filled:
                raise UserError(
                    f"stages.{name}.like is {shown(other)}; allowed: an earlier stage: {', '.join(filled) or 'none'}"
                )
            own = {key: value for key, value in stage.items() if key != "like"}
            # An earlier stage that is no section is refused in its own place.
            base = copy.deepcopy(filled[other])
            stage = _overlay(base, own) if isinstance(base, dict) else own
        filled[name] = stage
    return data | {"stages": filled}


def _overlay(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            base[key] = _overlay(base[key], value)
        else:
            base[key] = value
    return base
