"""LanguagePolicy optimisation from verifier scores: GRPO and its family as settings of one implementation.

    scheduler -> rollout -> [outcome shaping, advantage] -> clipped policy loss (+ KL, entropy, value) -> learner

| method | advantage | aggregation | clip | paper |
| --- | --- | --- | --- | --- |
| grpo | (R - mean) / std of the group | seq-mean-token-mean | 0.2 / 0.2 | arXiv 2402.03300 |
| dr_grpo | R - mean | seq-mean-token-sum-norm | 0.2 / 0.2 | arXiv 2503.20783 |
| dapo | as grpo; groups without spread are refilled | token-mean | 0.2 / 0.28 | arXiv 2503.14476 |
| rloo | leave-one-out baseline | token-mean | 0.2 / 0.2 | arXiv 2402.14740 |
| opo | length-weighted baseline | token-mean | 0.2 / 0.2 | arXiv 2505.23585 |
| reinforce_pp | whitened return-to-go | token-mean | 0.2 / 0.2 | arXiv 2501.03262 |
| reinforce_pp_baseline | R - mean, whitened over the batch | token-mean | 0.2 / 0.2 | arXiv 2501.03262 |
| gspo | as grpo | seq-mean-token-mean, ratio per sequence | 3e-4 / 4e-4 | arXiv 2507.18071 |
| ppo | GAE with a critic | token-mean | 0.2 / 0.2 | arXiv 1707.06347 |
| cad_rl | as grpo, cut-off answers left out | seq-mean-token-mean | 0.4 / 0.8, no dual clip | arXiv 2508.10118 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sciRL.advantage.base import AdvantageContext, AdvantageTransform, apply_transforms, check_composition
from sciRL.advantage.group import Estimator, GroupAdvantage
from sciRL.advantage.returns import GeneralisedAdvantage, ReturnToGo
from sciRL.advantage.shaping import KlReward, OverlongFilter, ShuffledOutcome, SoftOverlong
from sciRL.advantage.turns import TurnAdvantage
from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import LanguageSetting, SamplingConfig
from sciRL.domain import LanguageDomain
from sciRL.environments.conversation import ConversationEnvironment
from sciRL.errors import UserError
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.learning.token_weights import PrecisionWeights
from sciRL.objective.base import Aggregation, LossTerm, objective_needs
from sciRL.objective.entropy import EntropyBonus
from sciRL.objective.kl import KlEstimator, KlToReference
from sciRL.objective.policy import ClippedPolicy, RatioLevel
from sciRL.objective.value import ValueLoss
from sciRL.rollout.base import Scheduler
from sciRL.rollout.collect import Rollout
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.samplers import make_sampler
from sciRL.rollout.scheduler import DynamicSampling, UniformScheduler
from sciRL.rollout.statistics import batch_metrics
from sciRL.trajectory import TrajectoryBatch

Method: TypeAlias = Literal[
    "grpo", "dr_grpo", "dapo", "rloo", "opo", "reinforce_pp", "reinforce_pp_baseline", "gspo", "ppo", "cad_rl"
]


@dataclass(frozen=True)
class MethodSettings:
    """What a method fixes unless the recipe says otherwise."""

    estimator: Estimator | Literal["return_to_go", "gae"]
    aggregation: Aggregation = "token-mean"
    clip_low: float = 0.2
    clip_high: float = 0.2
    ratio: RatioLevel = "token"
    refill_rounds: int = 0
    dual_clip: float | None = 3.0
    overlong_filter: bool = False


METHODS: dict[Method, MethodSettings] = {
    "grpo": MethodSettings("grpo", "seq-mean-token-mean"),
    "dr_grpo": MethodSettings("dr_grpo", "seq-mean-token-sum-norm"),
    "dapo": MethodSettings("grpo", clip_high=0.28, refill_rounds=3),
    "rloo": MethodSettings("rloo"),
    "opo": MethodSettings("opo"),
    "reinforce_pp": MethodSettings("return_to_go"),
    "reinforce_pp_baseline": MethodSettings("reinforce_baseline"),
    "gspo": MethodSettings("grpo", "seq-mean-token-mean", 3e-4, 4e-4, "sequence"),
    "ppo": MethodSettings("gae"),
    "cad_rl": MethodSettings("grpo", "seq-mean-token-mean", 0.4, 0.8, dual_clip=None, overlong_filter=True),
}


TurnMethod: TypeAlias = Literal["outcome", "turns", "igpo", "promed"]


class TurnConfig(BaseModel):
    """How the turns of a conversation earn their advantages (see `sciRL.advantage.turns`)."""

    model_config = ConfigDict(extra="forbid")

    method: TurnMethod = "outcome"
    """outcome: the verdict on the episode alone; turns: what a turn and those after it earn, the verdict included,
    compared with the group's other turns at its place; igpo: gains of belief in the right answer and the verdict;
    promed: each turn its own reward, no returns."""
    gamma: float = Field(1.0, ge=0, le=1)
    """Discount per turn of the methods that sum up returns; 0 leaves each turn its own reward."""
    turn_weight: float = Field(1.0, ge=0)
    """Weight of a turn's own reward."""
    outcome_weight: float = Field(1.0, ge=0)
    """Weight of the verdict on the episode."""

    @model_validator(mode="after")
    def _check(self) -> TurnConfig:
        if self.gamma != 1 and self.method == "promed":
            raise ValueError(f"gamma is {self.gamma}, but method promed sums up no returns; allowed there: 1")
        return self

    def transform(self) -> TurnAdvantage:
        """Return the advantage of the method."""
        if self.method == "outcome":
            return TurnAdvantage("return", True, "sequence", True, self.gamma, 0.0, self.outcome_weight)
        if self.method == "promed":
            return TurnAdvantage("own", False, "token", False, 1.0, self.turn_weight, self.outcome_weight)
        if self.method == "turns":
            return TurnAdvantage("return", True, "place", False, self.gamma, self.turn_weight, self.outcome_weight)
        return TurnAdvantage("return", False, "turn", True, self.gamma, self.turn_weight, self.outcome_weight)


class PolicyOptimizationConfig(BaseModel):
    """Settings of policy optimisation; fields left at null take the method's value."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["policy_optimization"] = "policy_optimization"
    """Names this algorithm in a stage."""
    method: Method = "grpo"
    """Which member of the family."""
    rubric: str | None = None
    """Reward preset of the domain; null takes the domain's default."""
    prompts: int = Field(16, ge=1)
    """Tasks a step."""
    group_size: int = Field(8, ge=1)
    """Answers a task."""
    sampling: SamplingConfig = SamplingConfig()
    """How training answers are drawn."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser and schedule."""
    epochs: int = Field(1, ge=1)
    """Passes over a step's batch."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps a pass."""
    aggregation: Aggregation | None = None
    """How token losses become one number."""
    clip_low: float | None = Field(None, gt=0, le=1)
    """Lower clip distance of the ratio."""
    clip_high: float | None = Field(None, gt=0)
    """Upper clip distance of the ratio."""
    dual_clip: float | None = Field(None, ge=0)
    """Bound on the ratio of tokens with negative advantage, above 1; 0 is off."""
    kl_coefficient: float = Field(0.0, ge=0)
    """Weight of the KL to the policy at the stage's start."""
    kl_estimator: KlEstimator = "k3"
    """Estimator of the KL in the loss."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Whether the KL is a loss term or is taken off the reward (estimator k1)."""
    entropy_coefficient: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""
    sampler_cap: float | None = Field(None, gt=0)
    """Cap of the importance weight between trainer and sampler; null is off."""
    refill_rounds: int | None = Field(None, ge=0)
    """Refills of groups without spread."""
    overlong_cache: int | None = Field(None, ge=1)
    """Tokens before the length limit over which DAPO's soft penalty grows; null is off."""
    overlong_filter: bool | None = None
    """Leave answers that were cut at the length limit out of the loss and of their group's statistics."""
    precision_weight: float = Field(1.0, ge=1)
    """How much more the tokens of the domain's precise spans (numbers) count in the policy loss; 1 is off."""
    gamma: float = Field(1.0, gt=0, le=1)
    """Discount per token (return-to-go and GAE)."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """GAE's lambda."""
    value_coefficient: float = Field(0.5, gt=0)
    """Weight of PPO's value loss."""
    turns: TurnConfig | None = None
    """Advantages of conversations by turn; null is one advantage an episode, by the method."""
    shuffle_rewards: bool = False
    """The negative control: permute the rewards of each batch."""

    @model_validator(mode="after")
    def _check(self) -> PolicyOptimizationConfig:
        longest = self.sampling.max_new_tokens
        if self.overlong_cache is not None and longest is not None and self.overlong_cache > longest:
            raise ValueError(f"overlong_cache is {self.overlong_cache}; allowed: up to max_new_tokens {longest}")
        if self.dual_clip is not None and 0 < self.dual_clip <= 1:
            raise ValueError(f"dual_clip is {self.dual_clip}; allowed: 0 (off) or above 1")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature is 0 (greedy); policy optimisation needs a temperature above 0")
        if self.minibatches > self.prompts * self.group_size:
            raise ValueError(
                f"minibatches is {self.minibatches}; allowed: up to the {self.prompts * self.group_size} rows"
            )
        return self

    def settings(self) -> MethodSettings:
        """Return the method's settings with the recipe's values in their place."""
        base = METHODS[self.method]
        return MethodSettings(
            base.estimator,
            self.aggregation or base.aggregation,
            self.clip_low if self.clip_low is not None else base.clip_low,
            self.clip_high if self.clip_high is not None else base.clip_high,
            base.ratio,
            self.refill_rounds if self.refill_rounds is not None else base.refill_rounds,
            (self.dual_clip or None) if self.dual_clip is not None else base.dual_clip,
            self.overlong_filter if self.overlong_filter is not None else base.overlong_filter,
        )


def demand_conversation(
    config: PolicyOptimizationConfig, domain: LanguageDomain, environment: ConversationEnvironment | None
) -> None:
    """Raise `UserError` for rewards of turns where a domain asks for one answer."""
    if config.turns is not None and environment is None:
        raise UserError(f"turns is set, but domain {domain.name!r} asks for one answer; allowed: null")


def make_transforms(config: PolicyOptimizationConfig, seed: int) -> list[AdvantageTransform]:
    """Return the outcome shaping and the advantage of a configuration, in order."""
    settings = config.settings()
    estimator = settings.estimator
    per_token = estimator in ("return_to_go", "gae")
    kl_reward = config.kl_coefficient if config.kl_in == "reward" else 0.0
    transforms: list[AdvantageTransform] = []
    if config.shuffle_rewards:
        transforms.append(ShuffledOutcome(seed))
    if config.overlong_cache is not None:
        transforms.append(SoftOverlong(config.sampling.limit, config.overlong_cache))
    if kl_reward and not per_token:
        transforms.append(KlReward(kl_reward))
    if settings.overlong_filter:
        transforms.append(OverlongFilter())
    if config.turns is not None:
        transforms.append(config.turns.transform())
    elif estimator == "return_to_go":
        transforms.append(ReturnToGo(config.gamma, kl_reward))
    elif estimator == "gae":
        transforms.append(GeneralisedAdvantage(config.gamma, config.gae_lambda, kl_reward))
    else:
        transforms.append(GroupAdvantage(estimator))
    return transforms


def make_terms(config: PolicyOptimizationConfig) -> list[LossTerm]:
    """Return the loss terms of a configuration."""
    settings = config.settings()
    length = config.sampling.limit
    terms: list[LossTerm] = [
        ClippedPolicy(
            settings.aggregation,
            settings.clip_low,
            settings.clip_high,
            settings.dual_clip,
            settings.ratio,
            config.sampler_cap,
            length,
        )
    ]
    if config.kl_coefficient and config.kl_in == "loss":
        terms.append(KlToReference(config.kl_coefficient, config.kl_estimator, settings.aggregation, length))
    if config.entropy_coefficient:
        terms.append(EntropyBonus(config.entropy_coefficient, settings.aggregation, length))
    if settings.estimator == "gae":
        terms.append(ValueLoss(config.value_coefficient))
    return terms


class PolicyOptimization:
    """Samples, scores, and takes `epochs x minibatches` optimiser steps per iteration."""

    def __init__(self, setting: LanguageSetting, config: PolicyOptimizationConfig, total_steps: int) -> None:
        self.setting, self.config = setting, config
        domain, compute = setting.domain, setting.compute
        self.step = 0
        updates = config.epochs * config.minibatches
        self.learner = Learner(
            setting.policy.model,
            config.optimizer,
            total_steps=total_steps * updates,
            temperature=config.sampling.temperature,
            max_tokens=compute.max_tokens,
            critic=config.settings().estimator == "gae",
            autocast=compute.autocast_dtype(),
            processes=setting.processes,
            sharding=setting.compute.sharding,
            vision=setting.policy.vision,
        )
        self.transforms = make_transforms(config, setting.seed)
        self.terms = make_terms(config)
        self.precision = PrecisionWeights(setting.policy.tokenizer, domain, config.precision_weight)
        self.needs = check_composition(self.transforms) | objective_needs(self.terms)
        if updates > 1:
            self.needs |= {"logp_old"}
        if "logp_ref" in self.needs:
            self.learner.freeze_reference()
        self.scheduler = self._scheduler()
        self.rollout = self._rollout()
        self.sampled_tokens = 0

    def _rollout(self) -> Rollout:
        setting, compute = self.setting, self.setting.compute
        parts: dict[str, Any] = {
            "policy": setting.policy,
            "sampler": make_sampler(compute.sampler, setting.policy, compute.sampler_torch_dtype()),
            "rubric": setting.domain.rubric(setting.data, setting.options, self.config.rubric),
            "pool": setting.pool,
            "processes": setting.processes,
            "seed": setting.seed,
        }
        environment = setting.domain.conversation(setting.data, setting.options)
        turns = self.config.turns
        demand_conversation(self.config, setting.domain, environment)
        if environment is None:
            return Rollout(**parts)
        probe = turns is not None and turns.method == "igpo"
        return EpisodeRollout(environment=environment, max_context=setting.policy.max_context, probe=probe, **parts)

    def _scheduler(self) -> Scheduler:
        tasks = self.setting.domain.tasks(self.setting.data, "train", self.setting.options)
        uniform = UniformScheduler(tasks, self.config.prompts, self.config.group_size, self.setting.seed)
        rounds = self.config.settings().refill_rounds
        return DynamicSampling(uniform, rounds) if rounds else uniform

    def iterate(self) -> Metrics:
        """Sample, verify, and update once."""
        self.rollout.sampler.sync(self.setting.policy.model)
        batch = self.rollout.collect(self.scheduler, self.step, self.config.sampling.parameters())
        self.setting.monitor.observe(batch.rows["score"])
        metrics = batch_metrics(batch)
        self.sampled_tokens += batch.n_tokens
        batch = self.learner.score(batch, self.needs)
        batch = apply_transforms(self.transforms, batch, AdvantageContext(self.step))
        batch, precision = self.precision.apply(batch)
        metrics |= self._update(batch) | precision
        if self.config.settings().overlong_filter:
            metrics["overlong_dropped"] = float((batch.truncated & batch.scorable).float().mean())
        self.last_batch = batch
        self.step += 1
        return metrics

    def _update(self, batch: TrajectoryBatch) -> Metrics:
        collected: list[Metrics] = []
        for epoch in range(self.config.epochs):
            for part in self._minibatches(batch, epoch):
                collected.append(self.learner.update(part, self.terms))
        names = sorted({name for metrics in collected for name in metrics})
        return {name: _mean([m[name] for m in collected if name in m]) for name in names}

    def _minibatches(self, batch: TrajectoryBatch, epoch: int) -> Sequence[TrajectoryBatch]:
        if self.config.minibatches == 1:
            return [batch]
        import numpy as np

        order = np.random.default_rng([self.setting.seed, self.step, epoch]).permutation(len(batch))
        return [batch.select(rows.tolist()) for rows in np.array_split(order, self.config.minibatches)]

    @property
    def compute(self) -> int:
        """Token passes spent: 1 a sampled or scored token, 3 a trained one."""
        return self.sampled_tokens + self.learner.compute

    def state_dict(self) -> dict[str, Any]:
        """Return step, data position and learner state."""
        return {
            "step": self.step,
            "sampled_tokens": self.sampled_tokens,
            "scheduler": self.scheduler.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.step = int(state["step"])
        self.sampled_tokens = int(state["sampled_tokens"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.learner.load_state_dict(state["learner"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
