"""Outcome-conditioned pre-training and conversion as stages: hand-over, disk, resumption, compute."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from flow_cases import generator
from pydantic import TypeAdapter

from domains.gflownet.bits import AppendBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.algorithms.gflownet import GFlowNet, GFlowNetConfig
from sciRL.algorithms.outcome_gflownet import (
    OutcomeFinetuning,
    OutcomeFinetuningConfig,
    OutcomePretraining,
    OutcomePretrainingConfig,
)
from sciRL.algorithms.setting import ComputeConfig, FlowSetting
from sciRL.errors import UserError
from sciRL.families.flow import FAMILY, SAMPLERS
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import l1_distance, target_law
from sciRL.flow.outcome_samplers import AmortisedSampler, OutcomeSampler, TableSampler
from sciRL.flow.samplers import SamplerPolicy, UniformSampler
from sciRL.run.tree import load_tree, save_tree

GRID = Hypergrid(2, 4, r0=0.05)
PRETRAINING: dict[str, Any] = {
    "network": {"hidden": 32},
    "optimiser": {"lr": 5e-3},
    "success_every": 100,
    "success_samples": 64,
}
AMORTISED: dict[str, Any] = {"network": {"hidden": 32}, "optimiser": {"lr": 5e-3}}


def setting(environment: FlowEnvironment = GRID) -> FlowSetting:
    """A flow family's setting, whose domain has one environment and nothing else."""
    domain: Any = SimpleNamespace(flow_environment=lambda data, options, device: environment)
    policy = SamplerPolicy(UniformSampler(), {kind.kind: kind for kind in SAMPLERS}, torch.device("cpu"))
    unused: Any = None
    return FlowSetting(domain, None, Path(), policy, unused, unused, unused, ComputeConfig(device="cpu"), 0)


def pretraining(place: FlowSetting, **changes: Any) -> OutcomePretraining:
    torch.manual_seed(0)
    return OutcomePretraining(place, OutcomePretrainingConfig.model_validate({**PRETRAINING, **changes}), 100)


def finetuning(place: FlowSetting, **changes: Any) -> OutcomeFinetuning:
    torch.manual_seed(1)
    return OutcomeFinetuning(place, OutcomeFinetuningConfig.model_validate({"amortised": AMORTISED, **changes}), 100)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy folder of a pre-trained stage."""
    place = setting()
    stage = pretraining(place)
    metrics = [stage.iterate() for _ in range(200)]
    assert metrics[-1]["success"] > 0.8
    assert "success" not in metrics[-2]
    assert stage.compute == 200 * 64
    folder = tmp_path_factory.mktemp("pretrained")
    place.policy.save(folder)
    return folder


def start(folder: Path, environment: FlowEnvironment = GRID) -> FlowSetting:
    place = setting(environment)
    place.policy.load(folder)
    return place


def test_stages_are_told_apart_by_their_algorithm() -> None:
    kinds = [kind.config for kind in FAMILY.algorithms if kind.make in (OutcomeFinetuning, OutcomePretraining)]
    read: Any = TypeAdapter(kinds[0] | kinds[1])
    assert type(read.validate_python({"algorithm": "outcome_finetuning"})) is OutcomeFinetuningConfig
    assert type(read.validate_python({"algorithm": "outcome_pretraining"})) is OutcomePretrainingConfig


def test_pretrained_sampler_draws_all_objects_alike(pretrained: Path) -> None:
    sampler = start(pretrained).policy.sampler
    law = sampler.law(GRID)
    assert law is not None
    assert float(law.sum()) == pytest.approx(1.0, abs=1e-5)
    assert l1_distance(law, torch.full((16,), 1 / 16, dtype=torch.float64)) < 0.15
    drawn = torch.bincount(GRID.index(sampler.draw(GRID, 4000, generator())), minlength=16) / 4000
    assert l1_distance(drawn.double(), law) < 0.12


def test_exact_conversion_draws_two_rewards_from_one_pretraining(pretrained: Path, tmp_path: Path) -> None:
    for environment in (GRID, Hypergrid(2, 4, "cosine")):
        place = start(pretrained, environment)
        stage = finetuning(place)
        assert stage.compute == 0
        metrics = stage.iterate()
        assert metrics["l1"] < 0.15
        assert stage.compute == 16
        sampler = place.policy.sampler
        assert isinstance(sampler, TableSampler)
        place.policy.save(tmp_path)
        loaded = start(tmp_path).policy.sampler
        assert isinstance(loaded, TableSampler)
        assert torch.equal(loaded.law(environment), sampler.law(environment))
        assert torch.equal(loaded.draw(environment, 9, generator()), sampler.draw(environment, 9, generator()))


def test_a_converted_sampler_is_converted_again_from_its_origin(pretrained: Path) -> None:
    place = start(pretrained)
    finetuning(place, beta=2.0).iterate()
    sharp = place.policy.sampler.law(GRID)
    assert sharp is not None
    again = finetuning(place).iterate()["l1"]
    assert again == finetuning(start(pretrained)).iterate()["l1"]
    assert l1_distance(sharp, target_law(GRID)) > 0.2


def test_exact_conversion_over_drawn_outcomes_nears_that_over_all(pretrained: Path) -> None:
    stage = finetuning(start(pretrained), outcomes=5000)
    metrics = stage.iterate()
    assert stage.compute == 5000
    assert metrics["l1"] < 0.25
    assert metrics["log_z"] == pytest.approx(float(GRID.log_reward(GRID.enumerate()).logsumexp(0)), abs=0.2)


def test_amortised_conversion_resumes_bit_for_bit_from_disk(pretrained: Path, tmp_path: Path) -> None:
    place = start(pretrained)
    whole = finetuning(place, conversion="amortised")
    for _ in range(4):
        whole.iterate()
    place.policy.save(tmp_path / "policy")
    save_tree(tmp_path / "state", whole.state_dict())
    assert whole.compute == 16 + 4 * 16
    after = [whole.iterate() for _ in range(4)]

    again = start(tmp_path / "policy")
    assert isinstance(again.policy.sampler, AmortisedSampler)
    resumed = finetuning(again, conversion="amortised")
    resumed.load_state_dict(load_tree(tmp_path / "state"))
    assert [resumed.iterate() for _ in range(4)] == after
    ends = [part.policy.sampler.draw(GRID, 20, generator()) for part in (place, again)]
    assert torch.equal(*ends)


def test_amortised_conversion_learns_the_reward_and_a_gflownet_stage_goes_on_with_it(pretrained: Path) -> None:
    place = start(pretrained)
    stage = finetuning(place, conversion="amortised")
    for _ in range(80):
        stage.iterate()
    law = place.policy.sampler.law(GRID)
    assert law is not None
    assert l1_distance(law, target_law(GRID)) < 0.2
    config = {"loss": {"name": "subtb"}, "network": {"hidden": 32, "backward": "uniform"}, "algorithm": "gflownet"}
    following = GFlowNet(place, GFlowNetConfig.model_validate(config), 10)
    assert following.trainer.network is stage.trainer.network  # type: ignore[union-attr]
    assert following.iterate()["loss"] < 0.2


def test_pretraining_resumes_bit_for_bit_from_disk(tmp_path: Path) -> None:
    place = setting()
    whole = pretraining(place, success_every=2)
    for _ in range(3):
        whole.iterate()
    place.policy.save(tmp_path / "policy")
    save_tree(tmp_path / "state", whole.state_dict())
    after = [whole.iterate() for _ in range(3)]
    again = start(tmp_path / "policy")
    resumed = pretraining(again, success_every=2)
    resumed.load_state_dict(load_tree(tmp_path / "state"))
    assert [resumed.iterate() for _ in range(3)] == after
    assert isinstance(again.policy.sampler, OutcomeSampler)


def test_sequences_too_many_to_list_are_converted_over_drawn_outcomes() -> None:
    environment = AppendBits(32, 8)
    place = setting(environment)
    pretraining(place, exploration="forward", batch=4).iterate()
    assert place.policy.sampler.law(environment) is None
    with pytest.raises(UserError, match="too many states to list"):
        finetuning(place, conversion="exact")
    stage = finetuning(place, outcomes=32)
    assert stage.trainer is not None
    assert stage.iterate()["edges"] == 16 * 5
    assert stage.compute == 32 + 16


def test_conversion_without_pretraining_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="must `start` from one of algorithm outcome_pretraining"):
        finetuning(setting())
