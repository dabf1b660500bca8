"""Every method of the family trains; a method equals its settings written out; neutral settings change nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from toy_domain import DOMAIN, ToyDomain, ToyOptions

from sciRL.algorithms.policy_optimization import (
    METHODS,
    Method,
    PolicyOptimization,
    PolicyOptimizationConfig,
    make_transforms,
)
from sciRL.algorithms.preference import PreferenceConfig, PreferenceOptimization
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting, SamplingConfig
from sciRL.algorithms.supervised import SupervisedConfig, SupervisedFineTuning
from sciRL.errors import UserError
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.loading import LoraSettings, ModelConfig, load_policy
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage
from sciRL.verification.pool import WorkerPool
from sciRL.verification.runner import FailureMonitor

SMALL = {"path": "tiny", "hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "mlp": 32, "max_length": 32}


class DigitsArePrecise(ToyDomain):
    """The toy domain, in which sevens (policy optimisation rewards them) and all other digits are precise."""

    def precise_spans(self, answer: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at, letter in enumerate(answer) if letter.isdecimal()]


def make_setting(domain: ToyDomain | None = None, **model: Any) -> LanguageSetting:
    options, data, domain = ToyOptions(), Path(), domain or DigitsArePrecise()
    policy = load_policy(ModelConfig(**{**SMALL, **model}), domain.vocabulary(data, options).tokens)
    pool, monitor = WorkerPool(0), FailureMonitor(0.01, 50)
    compute = LanguageComputeConfig()
    return LanguageSetting(domain, options, data, policy, pool, monitor, ProcessGroup(), compute, seed=0)


def train(
    steps: int = 2, setting: LanguageSetting | None = None, **settings: Any
) -> tuple[dict[str, float], torch.Tensor]:
    """Return the last metrics and all trained weights in one vector."""
    setting = setting or make_setting()
    given = {"prompts": 6, "group_size": 4, "sampling": SamplingConfig(max_new_tokens=3), **settings}
    config = PolicyOptimizationConfig(optimizer=OptimizerConfig(learning_rate=1e-2), **given)
    algorithm = PolicyOptimization(setting, config, steps)
    # Random weights rarely add up right: reward sevens, so that groups have spread.
    algorithm.rollout.rubric = SEVENS
    for _ in range(steps):
        metrics = algorithm.iterate()
    trained = [p.detach().flatten() for p in setting.policy.model.parameters() if p.requires_grad]
    return metrics, torch.cat(trained)


class ShareOfSevens(PerItemVerifier):
    name = "sevens"

    def verify_one(self, task: Task, answer: str) -> Score:
        return Score.ok(answer.count("7") / max(1, len(answer)))


SEVENS = Rubric("sevens", [Stage(ShareOfSevens(), 1.0)])


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_trains(method: Method) -> None:
    setting = make_setting()
    before = torch.cat([p.detach().flatten() for p in setting.policy.model.parameters()]).clone()
    # Long enough for most answers to end: some methods leave out those that were cut off.
    metrics, after = train(setting=setting, method=method, sampling=SamplingConfig(max_new_tokens=24))
    assert metrics["gradient_norm"] > 0
    assert all(math.isfinite(value) for value in metrics.values())
    assert not torch.equal(before, after)
    assert set(METHODS) == set(get_args(Method))


def test_dapo_is_grpo_with_its_settings_written_out() -> None:
    _, dapo = train(method="dapo")
    _, written = train(method="grpo", clip_high=0.28, aggregation="token-mean", refill_rounds=3)
    assert torch.equal(dapo, written)


def test_cad_rl_is_grpo_with_its_settings_written_out() -> None:
    sampling = SamplingConfig(max_new_tokens=8)
    many = {"epochs": 3, "minibatches": 2, "sampling": sampling, "steps": 3}
    metrics, cad_rl = train(method="cad_rl", **many)
    _, written = train(method="grpo", clip_low=0.4, clip_high=0.8, dual_clip=0, overlong_filter=True, **many)
    assert torch.equal(cad_rl, written)
    assert 0 < metrics["overlong_dropped"] == metrics["truncated"] < 1
    config = PolicyOptimizationConfig.model_validate(PolicyOptimizationConfig(method="cad_rl").model_dump())
    assert (config.settings().dual_clip, config.settings().overlong_filter) == (None, True)
    with pytest.raises(ValueError, match=r"dual_clip is 0.5; allowed: 0 \(off\) or above 1"):
        PolicyOptimizationConfig(dual_clip=0.5)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_precision_weight_of_supervised_fine_tuning(weight: float) -> None:
    """Weight 1 repeats the plain losses bit for bit; another shows its share of tokens among the metrics."""

    def losses(domain: ToyDomain, **settings: Any) -> tuple[list[float], dict[str, float]]:
        algorithm = SupervisedFineTuning(make_setting(domain), SupervisedConfig(batch_size=8, **settings), 3)
        metrics = [algorithm.iterate() for _ in range(3)]
        return [row["loss"] for row in metrics], metrics[-1]

    plain, _ = losses(DOMAIN)
    found, metrics = losses(DigitsArePrecise(), precision_weight=weight)
    if weight == 1:
        assert found == plain
        assert "precise_tokens" not in metrics
    else:
        assert found[0] != plain[0]
        # One or two digits and the end of the answer, which carries no character.
        assert 0.5 <= metrics["precise_tokens"] < 2 / 3


@pytest.mark.parametrize(
    ("algorithm", "config"), [(SupervisedFineTuning, SupervisedConfig), (PolicyOptimization, PolicyOptimizationConfig)]
)
def test_a_precision_weight_needs_a_domain_with_precise_spans(algorithm: Any, config: Any) -> None:
    setting = make_setting(DOMAIN)
    with pytest.raises(UserError, match=r"precision_weight is 2, but domain 'toy' names no precise spans"):
        algorithm(setting, config(precision_weight=2), 1)


@pytest.mark.parametrize(
    "neutral",
    [
        {"kl_coefficient": 0.0, "kl_estimator": "k1"},
        {"entropy_coefficient": 0.0},
        {"overlong_filter": False},
        {"gamma": 0.5, "gae_lambda": 0.1},
        {"clip_low": 0.9, "clip_high": 9.0},
        {"dual_clip": 0.0},
        {"precision_weight": 1.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_neutral_settings_repeat_the_baseline_bit_for_bit(neutral: dict[str, Any]) -> None:
    """On-policy and with one update a step no ratio leaves 1, so clip bounds are neutral too."""
    _, baseline = train()
    _, other = train(**neutral)
    assert torch.equal(baseline, other)


@pytest.mark.parametrize(
    "setting",
    [
        {"kl_coefficient": 0.5},
        {"kl_coefficient": 0.5, "kl_in": "reward"},
        {"kl_coefficient": 0.5, "kl_in": "reward", "method": "ppo"},
        {"entropy_coefficient": 0.1},
        {"epochs": 2, "minibatches": 3},
        {"overlong_cache": 2},
        {"overlong_filter": True},
        {"shuffle_rewards": True},
        {"sampler_cap": 0.5},
        {"precision_weight": 2.0},
    ],
    ids=lambda setting: "-".join(setting),
)
def test_every_switch_changes_the_training(setting: dict[str, Any]) -> None:
    plain = {"method": setting["method"]} if "method" in setting else {}
    _, baseline = train(steps=3, **plain)
    metrics, other = train(steps=3, **setting)
    assert all(math.isfinite(value) for value in metrics.values())
    assert not torch.equal(baseline, other)


def test_lora_trains_the_adapter_only() -> None:
    setting = make_setting(lora=LoraSettings(rank=2))
    base = {n: p.detach().clone() for n, p in setting.policy.model.named_parameters() if not p.requires_grad}
    metrics, _ = train(setting=setting, kl_coefficient=0.1)
    assert metrics["gradient_norm"] > 0
    for name, parameter in setting.policy.model.named_parameters():
        if name in base:
            assert torch.equal(parameter, base[name]), name


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_preference_optimisation_raises_what_it_prefers(loss: str) -> None:
    setting = make_setting()
    config = PreferenceConfig(
        loss=loss,
        prompts=16,
        group_size=6,
        batch_pairs=16,
        steps_per_round=2,
        sampling=SamplingConfig(max_new_tokens=3),
        optimizer=OptimizerConfig(learning_rate=5e-3),
    )
    algorithm = PreferenceOptimization(setting, config, 30)
    algorithm.rollout.rubric = SEVENS
    rewards = [algorithm.iterate()["reward/mean"] for _ in range(30)]
    assert rewards[-1] > rewards[0] + 0.2


@pytest.mark.parametrize("anchor", ["round", "start"])
def test_the_anchor_is_the_policy_of_the_round_or_of_the_stage(anchor: str) -> None:
    setting = make_setting()
    first = {name: p.detach().clone() for name, p in setting.policy.model.named_parameters()}
    config = PreferenceConfig(
        anchor=anchor,
        prompts=8,
        group_size=6,
        steps_per_round=1,
        sampling=SamplingConfig(max_new_tokens=3),
        optimizer=OptimizerConfig(learning_rate=5e-3),
    )
    algorithm = PreferenceOptimization(setting, config, 3)
    algorithm.rollout.rubric = SEVENS
    for _ in range(3):
        algorithm.iterate()
    assert algorithm.learner.reference is not None
    kept = algorithm.learner.reference.model.named_parameters()
    assert all(torch.equal(p, first[name]) for name, p in kept) == (anchor == "start")


def test_shaping_comes_before_the_advantage() -> None:
    config = PolicyOptimizationConfig(shuffle_rewards=True, overlong_cache=4, kl_coefficient=0.1, kl_in="reward")
    names = [type(transform).__name__ for transform in make_transforms(config, 0)]
    assert names == ["ShuffledOutcome", "SoftOverlong", "KlReward", "GroupAdvantage"]
