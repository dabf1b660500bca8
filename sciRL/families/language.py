"""The language-model family: texts drawn by a sampler, trained by supervised, policy and preference optimisation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from sciRL.algorithms.policy_optimization import PolicyOptimization, PolicyOptimizationConfig, demand_conversation
from sciRL.algorithms.preference import PreferenceConfig, PreferenceOptimization
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting, SamplingConfig
from sciRL.algorithms.supervised import SupervisedConfig, SupervisedFineTuning
from sciRL.config import validate_config
from sciRL.domain import Domain, LanguageDomain
from sciRL.families import AlgorithmKind, Answer, Family
from sciRL.families.lengths import answer_limit, demand_room
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy
from sciRL.rollout.base import Request
from sciRL.rollout.collect import draw_answers
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.samplers import make_sampler
from sciRL.run.settings import EvaluationConfig, RunConfig
from sciRL.task import Task

MOST_FROM_SCRATCH = 50_000_000
"""Models of more weights are taken for pre-trained ones."""
PRETRAINED_RATE = 2e-4
"""Full fine-tuning of pre-trained models uses 1e-6 to 1e-4; a rate above this is worth a warning."""


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


def prepare(setting: LanguageSetting, config: RunConfig) -> RunConfig:
    """Read what the stages will read, and return the configuration with the lengths of answers that the data say.

    Raises:
        UserError: data that a stage cannot use, an environment that cannot be made, turns where there are none, or
            prompts that leave no room for answers.
    """
    domain, data, options = setting.domain, setting.data, setting.options
    environment = domain.conversation(data, options)
    config = fill_limits(setting, config)
    asking = {}
    for name, stage in config.active_stages().items():
        if isinstance(stage.train, SupervisedConfig):
            domain.demonstrations(data, "train", options, setting.seed)
        else:
            asking[f"stages.{name}.train"] = stage.train.sampling.limit
        if isinstance(stage.train, PolicyOptimizationConfig):
            demand_conversation(stage.train, domain, environment)
    asked = domain.tasks(data, "train", options) if asking else []
    if setting.processes.is_main and config.model.lora is None:  # type: ignore[attr-defined]
        rates = {name: stage.train.optimizer.learning_rate for name, stage in config.active_stages().items()}
        warn_of_rates(sum(weights.numel() for weights in setting.policy.model.parameters()), rates)
    # A conversation ends by itself where the context is full.
    if environment is None:
        for where, limit in asking.items():
            demand_room(setting.policy, asked, limit, f"{where}.sampling")
        held_out = domain.tasks(data, config.evaluation.split, options)
        evaluation = cast(LanguageEvaluationConfig, config.evaluation)
        demand_room(setting.policy, held_out, evaluation.sampling.limit, "evaluation.sampling")
    return config


def fill_limits(setting: LanguageSetting, config: RunConfig) -> RunConfig:
    """Return the configuration with the demonstrations' length for every `max_new_tokens` that is null."""
    values = config.model_dump(mode="json")
    sections = [values["evaluation"], *(stage["train"] for stage in values["stages"].values())]
    open_limits = [
        section["sampling"]
        for section in sections
        if "sampling" in section and section["sampling"]["max_new_tokens"] is None
    ]
    if not open_limits:
        return config
    demonstrations = setting.domain.demonstrations(setting.data, "train", setting.options, setting.seed)
    limit = answer_limit(setting.policy, demonstrations)
    for sampling in open_limits:
        sampling["max_new_tokens"] = limit
    return validate_config(type(config), values)


def warn_of_rates(parameters: int, rates: Mapping[str, float]) -> None:
    """Say on standard error when a model too large to be from scratch learns at the rate of one that is.

    Args:
        parameters: how many weights are trained.
        rates: learning rate of each stage.
    """
    high = [f"stages.{name} {rate:g}" for name, rate in rates.items() if rate > PRETRAINED_RATE]
    if parameters > MOST_FROM_SCRATCH and high:
        print(
            f"warning: learning rates for a model from scratch ({', '.join(high)}), but this one has "
            f"{parameters / 1e6:.0f} M weights: above {PRETRAINED_RATE:g} a pre-trained model usually forgets what it "
            "knows; take a recipe made for one, or train adapters (model.lora.rank)",
            file=sys.stderr,
            flush=True,
        )


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
    prepare=prepare,
    compute_unit="token passes",
    rate="tokens_per_s",
    model_name=lambda config: str(config.model.path),
    reopen=reopen,
)
