"""Sampler and Scheduler: how answers are drawn, and what is asked next."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.task import Task
from sciRL.trajectory import TrajectoryBatch

StopReason: TypeAlias = Literal["eos", "length"]


@dataclass(frozen=True)
class SamplingParameters:
    """How tokens are drawn; temperature 0 is greedy, `top_k` 0 and `top_p` 1 are off.

    `logp` of a completion is always the log-probability under softmax(logits / temperature) *before*
    the top-p/top-k filter (temperature 1 for greedy), which is what a trainer can recompute.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class GenerationRequest:
    """Draw one completion: prompt ids and a 64-bit seed that alone decides its random numbers.

    `images` are the paths of the pictures whose placeholders stand in the prompt, in order.
    """

    prompt_ids: tuple[int, ...]
    seed: int
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForcedText:
    """Ids that are read, at least one, and ids that are put into the model's mouth after them.

    `images` are the paths of the pictures whose placeholders stand in the prefix, in order.
    """

    prefix: tuple[int, ...]
    target: tuple[int, ...]
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prefix or not self.target:
            raise UserError("teacher-forced log-probabilities need a prefix and a target of at least one token")


@dataclass(frozen=True)
class Completion:
    """Sampled ids (the end-of-sequence token included when drawn), their log-probabilities, why it stopped."""

    ids: np.ndarray
    logp: np.ndarray
    stop: StopReason


class Sampler(Protocol):
    """Draws completions from a policy."""

    def generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        """Return one completion per request; a request's draw does not depend on the others in the batch."""
        ...

    def sync(self, model: torch.nn.Module) -> None:
        """Take over the current weights of the trained model."""
        ...

    def logp(self, forced: Sequence[ForcedText]) -> list[Tensor]:
        """Return the log-probabilities [len(target)] of each target after its prefix, teacher-forced."""
        ...

    def remembering(self) -> AbstractContextManager[None]:
        """While open, what was asked last may be kept, so that requests that go on from it read only what is new."""
        ...


@dataclass(frozen=True)
class Request:
    """Ask one task `n` times."""

    task: Task
    n: int
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class SchedulerContext:
    """What a scheduler may look at: the step and the trajectories already collected within it."""

    step: int
    collected: list[TrajectoryBatch] = field(default_factory=list)


class Scheduler(Protocol):
    """Says what to ask next; called again inside a step until it returns None (refills, hints, adaptive allocation)."""

    def plan(self, context: SchedulerContext) -> list[Request] | None:
        """Return the next requests of this step, or None when the step has enough."""
        ...

    def observe(self, batch: TrajectoryBatch) -> None:
        """Learn from the finished batch of a step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the data position and everything else that decides later plans."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...
