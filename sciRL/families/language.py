"""The language-model family: texts drawn by a sampler, trained by supervised, policy and preference optimisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sciRL.algorithms.policy_optimization import PolicyOptimization, PolicyOptimizationConfig, demand_conversation
from sciRL.algorithms.preference import PreferenceConfig, PreferenceOptimization
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting, SamplingConfig
from sciRL.algorithms.supervised import SupervisedConfig, SupervisedFineTuning
from sciRL.domain import Domain, LanguageDomain
from sciRL.families import AlgorithmKind, Answer, Family
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy
from sciRL.rollout.base import Request
from sciRL.rollout.collect import draw_answers
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.samplers import make_sampler
from sciRL.run.settings import EvaluationConfig
from sciRL.task import Task


class LanguageEvaluationConfig(EvaluationConfig):
    """How every arm of a language model is judged."""

    sampling: SamplingConfig = SamplingConfig()
    """How answers are drawn."""


class LanguageSections(BaseModel):
    """The sections of a language model's recipe."""

    model_config = ConfigDict(extra="forbid")

    model: ModelConfig = ModelConfig()
    """The policy."""
    compute: LanguageComputeConfig = LanguageComputeConfig()
    """Devices, precision, workers."""
    evaluation: LanguageEvaluationConfig = LanguageEvaluationConfig()
    """Held-out evaluation."""


def make_policy(domain: Domain, options: Any, config: Any, data: Path) -> LanguagePolicy:
    """Load the model of the `model` section, with the domain's vocabulary for one from scratch."""
    assert isinstance(domain, LanguageDomain)
    vocabulary = domain.vocabulary(data, options)
    policy = load_policy(config.model, None if vocabulary is None else vocabulary.tokens)
    policy.model.to(config.compute.torch_device())
    return policy


def answer(setting: LanguageSetting, config: LanguageEvaluationConfig, tasks: Sequence[Task]) -> list[Answer]:
    """Draw one answer a task, or play one episode and return its record; a draw depends on seed, task and place."""
    sampler = make_sampler(setting.compute.sampler, setting.policy, setting.compute.sampler_torch_dtype())
    sampler.sync(setting.policy.model)
    requests = [Request(task, 1) for task in tasks]
    environment = setting.domain.conversation(setting.data, setting.options)
    if environment is not None:
        rollout = EpisodeRollout(
            policy=setting.policy,
            sampler=sampler,
            rubric=setting.domain.rubric(setting.data, setting.options, config.rubric),
            pool=setting.pool,
            processes=setting.processes,
            seed=setting.seed,
            environment=environment,
            max_context=setting.policy.max_context,
        )
        episodes = rollout.play(requests, 0, config.sampling.parameters(), "evaluation")
        return [Answer(episode.conversation.record(), episode.failure) for episode in episodes]
    drawn = draw_answers(
        setting.policy,
        sampler,
        setting.processes,
        requests,
        config.sampling.parameters(),
        (setting.seed, "evaluation", 0),
    )
    return [Answer(text) for text in drawn.answers]


def check(setting: LanguageSetting, trains: Sequence[BaseModel]) -> None:
    """Read what the stages will read, so that bad data and settings end a run before it begins.

    Raises:
        UserError: data that a stage cannot use, an environment that cannot be made, or turns where there are none.
    """
    domain, data, options = setting.domain, setting.data, setting.options
    environment = domain.conversation(data, options)
    kinds = {type(train) for train in trains}
    if SupervisedConfig in kinds:
        domain.demonstrations(data, "train", options, setting.seed)
    if kinds - {SupervisedConfig}:
        domain.tasks(data, "train", options)
    for train in trains:
        if isinstance(train, PolicyOptimizationConfig):
            demand_conversation(train, domain, environment)


def reopen(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Name the run's own policy as the model: whole weights, adapters merged."""
    return {**values, "model": {**values.get("model", {}), "path": str(folder), "lora": None}}


FAMILY = Family(
    name="language",
    sections=LanguageSections,
    algorithms=(
        AlgorithmKind(SupervisedConfig, SupervisedFineTuning),
        AlgorithmKind(PolicyOptimizationConfig, PolicyOptimization),
        AlgorithmKind(PreferenceConfig, PreferenceOptimization),
    ),
    setting=LanguageSetting,
    make_policy=make_policy,
    answer=answer,
    check=check,
    compute_unit="token passes",
    rate="tokens_per_s",
    model_name=lambda config: str(config.model.path),
    reopen=reopen,
)
