"""Iterative preference optimisation: sample, score, build pairs, train DPO or IPO on them, and begin again.

Each round freezes the present policy as the reference (or keeps that of the stage's start), draws `pool` answers at
the round's temperature, builds pairs from their scores and takes one pass over them (PLaID++, arXiv 2509.07150; DPO,
arXiv 2305.18290). One `iterate` is one optimiser step; a round begins when the pairs of the last are used up.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.pairs import PAIR_BUILDERS
from sciRL.algorithms.setting import LanguageSetting, SamplingConfig
from sciRL.domain import Record
from sciRL.errors import UserError
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.objective.preference import PreferenceLoss, PreferenceTerm
from sciRL.rollout.collect import Rollout
from sciRL.rollout.samplers import make_sampler
from sciRL.rollout.scheduler import UniformScheduler
from sciRL.rollout.statistics import batch_metrics
from sciRL.trajectory import TrajectoryBatch

EMPTY_ROUNDS = 3
"""Pools in a row that may give no pair before the run stops."""


class PreferenceConfig(BaseModel):
    """Settings of iterative preference optimisation."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["preference"] = "preference"
    """Names this algorithm in a stage."""
    loss: PreferenceLoss = "dpo"
    """DPO, or IPO on summed log-probabilities."""
    beta: float = Field(0.1, gt=0)
    """Strength of the pull to the reference."""
    anchor: Literal["round", "start"] = "round"
    """The reference: the policy at the start of each round (PLaID++), or at the start of the stage throughout."""
    rubric: str | None = None
    """Reward preset of the domain; null takes the domain's default."""
    pairs: str = "best_vs_worst"
    """How pairs are made: best_vs_worst or best_vs_rest of a prompt, or one of the domain's builders."""
    steps_per_round: int = Field(25, ge=1)
    """Optimiser steps after which a new round of samples is drawn (earlier when the pairs are used up)."""
    prompts: int = Field(64, ge=1)
    """Tasks a round."""
    group_size: int = Field(8, ge=2)
    """Answers a task."""
    batch_pairs: int = Field(32, ge=1)
    """Pairs an optimiser step."""
    temperatures: tuple[float, ...] = Field((1.0,), min_length=1)
    """Sampling temperature of each round; the last one stays."""
    sampling: SamplingConfig = SamplingConfig()
    """How answers are drawn, but for the temperature."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser and schedule."""
    shuffle_rewards: bool = False
    """The negative control: which answer of a pair is chosen is drawn by lot."""


class PreferenceOptimization:
    """Iterative DPO or IPO over the answers of the policy itself."""

    def __init__(self, setting: LanguageSetting, config: PreferenceConfig, total_steps: int) -> None:
        self.setting, self.config = setting, config
        compute = setting.compute
        self.step = self.round = self.round_step = self.sampled_tokens = 0
        self.learner = Learner(
            setting.policy.model,
            config.optimizer,
            total_steps=total_steps,
            max_tokens=compute.max_tokens,
            autocast=compute.autocast_dtype(),
            processes=setting.processes,
            sharding=setting.compute.sharding,
            vision=setting.policy.vision,
        )
        self.term = PreferenceTerm(config.beta, config.loss)
        tasks = setting.domain.tasks(setting.data, "train", setting.options)
        self.scheduler = UniformScheduler(tasks, config.prompts, config.group_size, setting.seed)
        self.rollout = Rollout(
            setting.policy,
            make_sampler(compute.sampler, setting.policy, compute.sampler_torch_dtype()),
            setting.domain.rubric(setting.data, setting.options, config.rubric),
            setting.pool,
            setting.processes,
            setting.seed,
        )
        self.pairs: TrajectoryBatch | None = None
        self.next_pair = 0
        self.round_metrics: Metrics = {}

    def iterate(self) -> Metrics:
        """Take one optimiser step, beginning a new round when the last one is used up."""
        spent = self.pairs is None or self.next_pair >= len(self.pairs) // 2
        if spent or self.round_step >= self.config.steps_per_round:
            self._begin_round()
        assert self.pairs is not None
        start, stop = self.next_pair, min(self.next_pair + self.config.batch_pairs, len(self.pairs) // 2)
        batch = self.pairs.select(list(range(2 * start, 2 * stop)))
        metrics = self.learner.update(batch, [self.term])
        self.next_pair = stop
        self.round_step += 1
        self.step += 1
        return metrics | self.round_metrics

    def _begin_round(self) -> None:
        config = self.config
        self.rollout.sampler.sync(self.setting.policy.model)
        temperature = config.temperatures[min(self.round, len(config.temperatures) - 1)]
        sampling = config.sampling.model_copy(update={"temperature": temperature})
        for attempt in range(EMPTY_ROUNDS):
            step = self.step * EMPTY_ROUNDS + attempt
            batch = self.rollout.collect(self.scheduler, step, sampling.parameters())
            self.setting.monitor.observe(batch.rows["score"])
            self.sampled_tokens += batch.n_tokens
            chosen_rejected = self._build_pairs(batch)
            if chosen_rejected:
                break
        else:
            raise UserError(
                f"round {self.round + 1}: none of {EMPTY_ROUNDS} x {len(batch)} answers could be paired by "
                f"{config.pairs!r}; all scores are equal or no answer was good"
            )
        rows = [row for pair in chosen_rejected for row in pair]
        if config.anchor == "round" or self.round == 0:
            self.learner.freeze_reference()
        self.pairs = self.learner.score(batch.select(rows), frozenset({"logp_ref"}))
        images = self.pairs.rows["images"]
        self.pairs.rows = {"images": images} if any(images) else {}
        self.next_pair = self.round_step = 0
        self.round += 1
        self.last_batch = batch
        self.round_metrics = batch_metrics(batch) | {
            "round": float(self.round),
            "temperature": temperature,
            "pairs": float(len(chosen_rejected)),
        }

    def _build_pairs(self, batch: TrajectoryBatch) -> list[tuple[int, int]]:
        records = [
            Record(task, answer, score)
            for task, answer, score in zip(batch.rows["task"], batch.rows["answer"], batch.rows["score"], strict=True)
        ]
        seed = self.setting.seed + self.round
        if self.config.pairs in PAIR_BUILDERS:
            pairs = PAIR_BUILDERS[self.config.pairs](batch, seed)
        else:
            domain = self.setting.domain
            pairs = domain.preference_pairs(self.config.pairs, records, self.setting.data, self.setting.options, seed)
        generator = np.random.default_rng([seed, 1])
        order = generator.permutation(len(pairs))
        pairs = [pairs[index] for index in order]
        if self.config.shuffle_rewards:
            flips = generator.random(len(pairs)) < 0.5
            pairs = [(b, a) if flip else (a, b) for (a, b), flip in zip(pairs, flips, strict=True)]
        return pairs

    @property
    def compute(self) -> int:
        """Token passes spent: 1 a sampled or scored token, 3 a trained one."""
        return self.sampled_tokens + self.learner.compute

    def state_dict(self) -> dict[str, Any]:
        """Return counters, data position, the round's remaining pairs and the learner's state."""
        return {
            "step": self.step,
            "round": self.round,
            "round_step": self.round_step,
            "sampled_tokens": self.sampled_tokens,
            "next_pair": self.next_pair,
            "round_metrics": self.round_metrics,
            "pairs": None if self.pairs is None else self.pairs.columns(),
            "scheduler": self.scheduler.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in ("step", "round", "round_step", "sampled_tokens", "next_pair", "round_metrics"):
            setattr(self, name, state[name])
        self.pairs = None if state["pairs"] is None else TrajectoryBatch(**state["pairs"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.learner.load_state_dict(state["learner"])
