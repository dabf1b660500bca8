"""Small networks: weights from their generator alone, memory as torch's own, statistics as of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sciRL.learning.schedule import LinearSchedule
from sciRL.models.networks import GatedMemory, ObservationScale, mlp


def test_weights_come_from_the_generator_alone() -> None:
    made = []
    for global_seed, seed in ((0, 5), (1, 5), (0, 6)):
        torch.manual_seed(global_seed)
        generator = torch.Generator().manual_seed(seed)
        net = nn.Sequential(mlp([3, 8, 2], generator), GatedMemory(2, 4, generator))
        made.append(torch.cat([parameter.flatten() for parameter in net.parameters()]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_layers_and_activations() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = [type(layer) for layer in mlp([3, 8, 2], generator, nn.Tanh)]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear]
    assert isinstance(mlp([3, 8], generator, nn.Tanh, activate_last=True)[-1], nn.Tanh)


def test_memory_is_a_gated_recurrent_unit_that_forgets_where_told() -> None:
    memory = GatedMemory(3, 4, torch.Generator().manual_seed(0))
    reference = nn.GRU(3, 4)
    reference.load_state_dict({f"{name}_l0": value for name, value in memory.cell.state_dict().items()})
    inputs, start = torch.randn(6, 2, 3), torch.randn(2, 4)
    never = torch.zeros(6, 2, dtype=torch.bool)
    whole, _ = reference(inputs, start.unsqueeze(0))
    assert torch.allclose(memory.unroll(inputs, start, never), whole, atol=1e-6)
    at_three = never.clone()
    at_three[3, 1] = True
    states = memory.unroll(inputs, start, at_three)
    anew, _ = reference(inputs[3:])
    assert torch.allclose(states[:, 0], whole[:, 0], atol=1e-6)
    assert torch.allclose(states[:3, 1], whole[:3, 1], atol=1e-6)
    assert torch.allclose(states[3:, 1], anew[:, 1], atol=1e-6)


def test_scaling_uses_the_mean_and_deviation_of_all_that_was_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(5, 40, 3, generator=generator) * torch.tensor([1.0, 30.0, 0.0]) + torch.tensor([0.0, 500.0, 2.0])
    scale = ObservationScale(3)
    assert torch.equal(scale(seen[0].clamp(-9, 9)), seen[0].clamp(-9, 9))
    for part in seen:
        scale.update(part)
    flat = seen.reshape(-1, 3)
    scaled = scale(flat)
    assert scaled[:, :2].mean(0).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert scaled[:, :2].std(0, correction=0).tolist() == pytest.approx([1, 1], abs=1e-4)
    assert not scaled[:, 2].any()
    assert float(scale(torch.tensor([1e9, 0.0, 0.0]))[0]) == ObservationScale.LIMIT


def test_a_schedule_reaches_its_end_after_its_share() -> None:
    schedule = LinearSchedule(start=0.3, end=0.02, share=0.5)
    assert [round(schedule.at(step, 9), 4) for step in (0, 2, 4, 8)] == [0.3, 0.16, 0.02, 0.02]
    assert schedule.at(0, 1) == 0.3
