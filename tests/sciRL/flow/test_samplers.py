"""Samplers on disk: the device they come back on, and networks that a stage goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from flow_cases import generator, network

from domains.gflownet.hypergrid import Hypergrid
from sciRL.errors import UserError
from sciRL.families.flow import SAMPLERS
from sciRL.flow.network import FlowNetwork
from sciRL.flow.outcome_network import outcome_network
from sciRL.flow.outcome_samplers import AmortisedSampler, OutcomeSampler
from sciRL.flow.outcome_trainer import OutcomeSettings
from sciRL.flow.samplers import FlowSampler, NetworkSampler, SamplerPolicy, UniformSampler, network_to_go_on_with
from sciRL.flow.trainer import FlowNetworkSettings

GRID = Hypergrid(2, 3)
SETTINGS = FlowNetworkSettings(hidden=16)


def made() -> dict[str, FlowSampler]:
    """One sampler of each kind that holds a network."""
    own = NetworkSampler.of(GRID, network(GRID), SETTINGS)
    settings = OutcomeSettings.model_validate({"network": {"hidden": 16}})
    origin = OutcomeSampler.of(GRID, outcome_network(GRID, generator(), 16), settings)
    return {"network": own, "outcome": origin, "amortised": AmortisedSampler(own.network, own.shape, origin)}


def policy(sampler: FlowSampler, device: str = "cpu") -> SamplerPolicy:
    return SamplerPolicy(sampler, {kind.kind: kind for kind in SAMPLERS}, torch.device(device))


@pytest.mark.parametrize("kind", ["network", "outcome", "amortised"])
def test_a_loaded_sampler_is_on_the_policys_device(kind: str, tmp_path: Path) -> None:
    policy(made()[kind]).save(tmp_path)
    # Tensors of the device "meta" hold no numbers, but every machine has it.
    for device in ("cpu", "meta"):
        loaded = policy(UniformSampler(), device)
        loaded.load(tmp_path)
        assert {tensor.device.type for tensor in loaded.sampler.tensors().values()} == {device}


def test_a_saved_network_draws_the_same(tmp_path: Path) -> None:
    sampler = made()["network"]
    policy(sampler).save(tmp_path)
    loaded = policy(UniformSampler())
    loaded.load(tmp_path)
    first, second = (each.draw(GRID, 50, generator()) for each in (sampler, loaded.sampler))
    assert torch.equal(first, second)


@pytest.mark.parametrize("change", [{"hidden": 8}, {"layers": 1}, {"backward": "uniform"}])
def test_a_stage_cannot_go_on_with_a_network_of_other_sizes(change: dict[str, object]) -> None:
    sampler = made()["network"]
    other = FlowNetworkSettings.model_validate({"hidden": 16, **change})
    assert isinstance(network_to_go_on_with(sampler, GRID, SETTINGS), FlowNetwork)
    with pytest.raises(UserError, match="give both stages the same sizes"):
        network_to_go_on_with(sampler, GRID, other)
    with pytest.raises(UserError, match="give both stages the same sizes"):
        network_to_go_on_with(sampler, Hypergrid(3, 3), SETTINGS)
    assert network_to_go_on_with(UniformSampler(), GRID, other) is None
