"""Every method of the family trains; a method equals its settings written out; neutral settings change nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from toy_domain import DOMAIN, ToyOptions

from sciRL.algorithms.policy_optimization import (
    METHODS,
    Method,
    PolicyOptimization,
    PolicyOptimizationConfig,
    make_transforms,
)
from sciRL.algorithms.preference import PreferenceConfig, PreferenceOptimization
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting, SamplingConfig
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.loading import LoraSettings, ModelConfig, load_policy
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage
from sciRL.verification.pool import WorkerPool
from sciRL.verification.runner import FailureMonitor

SMALL = {"path": "tiny", "hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "mlp": 32, "max_length": 32}


def make_setting(**model: Any) -> LanguageSetting:
    options, data = ToyOptions(), Path()
    policy = load_policy(ModelConfig(**{**SMALL, **model}), DOMAIN.vocabulary(data, options).tokens)
    pool, monitor = WorkerPool(0), FailureMonitor(0.01, 50)
    compute = LanguageComputeConfig()
    return LanguageSetting(DOMAIN, options, data, policy, pool, monitor, ProcessGroup(), compute, seed=0)


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
    metrics, after = train(setting=setting, method=method)
    assert metrics["gradient_norm"] > 0
    assert all(math.isfinite(value) for value in metrics.values())
    assert not torch.equal(before, after)
    assert set(METHODS) == set(get_args(Method))


def test_dapo_is_grpo_with_its_settings_written_out() -> None:
    _, dapo = train(method="dapo")
    _, written = train(method="grpo", clip_high=0.28, aggregation="token-mean", refill_rounds=3)
    assert torch.equal(dapo, written)


@pytest.mark.parametrize(
    "neutral",
    [
        {"kl_coefficient": 0.0, "kl_estimator": "k1"},
        {"entropy_coefficient": 0.0},
        {"overlong_filter": False},
        {"gamma": 0.5, "gae_lambda": 0.1},
        {"clip_low": 0.9, "clip_high": 9.0},
        {"dual_clip": None},
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


def test_shaping_comes_before_the_advantage() -> None:
    config = PolicyOptimizationConfig(shuffle_rewards=True, overlong_cache=4, kl_coefficient=0.1, kl_in="reward")
    names = [type(transform).__name__ for transform in make_transforms(config, 0)]
    assert names == ["ShuffledOutcome", "SoftOverlong", "KlReward", "GroupAdvantage"]
