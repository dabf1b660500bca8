"""Training: settings, learning, resumption."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from flow_cases import generator
from pydantic import ValidationError

from domains.gflownet.bits import FillBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.errors import UserError
from sciRL.flow.exact import l1_distance, target_law, terminal_law
from sciRL.flow.exponent import RewardExponent
from sciRL.flow.trainer import FlowSettings, FlowTrainer, build_regression

EVERYTHING: dict[str, Any] = {
    "batch": 16,
    "beta": 1.5,
    "loss": {"name": "subtb", "regression": "linex"},
    "network": {"hidden": 16},
    "optimiser": {"decay_steps": 12},
    "exploration": {"epsilon": 0.5, "epsilon_end": 0.0, "epsilon_steps": 9, "temperature": 1.2},
    "replay": {"share": 0.25, "capacity": 40},
}


def settings(**changes: Any) -> FlowSettings:
    return FlowSettings.model_validate({"network": {"hidden": 16}, **changes})


@pytest.mark.parametrize("tables", ["always", "never"])
@pytest.mark.parametrize("environment", [Hypergrid(2, 6), FillBits(8, 2)], ids=lambda e: e.name)
def test_resumed_training_repeats_the_uninterrupted_run_bit_for_bit(environment: Any, tables: str) -> None:
    chosen = FlowSettings.model_validate({**EVERYTHING, "tables": tables})
    whole = FlowTrainer(environment, chosen, generator(1))
    before = [whole.step() for _ in range(5)]
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    after = [whole.step() for _ in range(10)]
    resumed = FlowTrainer(environment, chosen, generator(99))
    file.seek(0)
    resumed.load_state_dict(torch.load(file))
    assert [resumed.step() for _ in range(10)] == after
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert before[0]["replayed"] == 0.0
    assert before[1]["replayed"] == 0.25


def test_saved_state_does_not_change_as_training_goes_on() -> None:
    trainer = FlowTrainer(Hypergrid(2, 3), settings(batch=4), generator())
    trainer.step()
    state = trainer.state_dict()
    moments = state["optimiser"]["state"][0]["exp_avg"].clone()
    weights = state["network"]["heads.weight"].clone()
    trainer.step()
    assert torch.equal(state["optimiser"]["state"][0]["exp_avg"], moments)
    assert torch.equal(state["network"]["heads.weight"], weights)


def test_tables_do_not_change_the_training() -> None:
    runs = []
    for tables in ("always", "never"):
        trainer = FlowTrainer(Hypergrid(2, 4), settings(tables=tables, batch=16), generator())
        runs.append([trainer.step()["loss"] for _ in range(20)])
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)


@pytest.mark.parametrize("name", ["tb", "db", "subtb", "fl-db", "fl-subtb", "zvar", "mdb", "fm"])
def test_every_loss_learns_the_law_of_a_small_grid(name: str) -> None:
    environment = Hypergrid(2, 4, r0=0.05)
    trainer = FlowTrainer(environment, settings(loss={"name": name}, optimiser={"lr": 5e-3}), generator())
    start = l1_distance(terminal_law(environment, trainer.network), target_law(environment))
    for _ in range(250):
        metrics = trainer.step()
    end = l1_distance(terminal_law(environment, trainer.network), target_law(environment))
    assert start > 0.3
    assert end < 0.1
    reward = float(environment.log_reward(environment.enumerate()).logsumexp(0))
    assert metrics["log_z"] == pytest.approx(reward, abs=0.05)


def test_reward_exponent_sharpens_the_law_and_clips_it() -> None:
    environment = Hypergrid(2, 3)
    sharp = RewardExponent(environment, 2.0, -3.0)
    every = environment.enumerate()
    assert float(sharp.log_reward(every).min()) == -3.0  # 2 log 0.1 = -4.6
    assert float(sharp.log_reward(every).max()) == pytest.approx(2 * math.log(0.6))


def test_policy_alone_is_sampled_for_evaluation() -> None:
    trainer = FlowTrainer(Hypergrid(2, 4), settings(exploration={"epsilon": 1.0}, tables="always"), generator())
    with torch.no_grad():
        trainer.network.heads.bias[2] += 50.0  # stop at once
    drawn = trainer.sample(20)
    assert drawn.objects.tolist() == [[0, 0]] * 20
    assert trainer.step()["length"] > 1.5  # uniform actions while training


def test_schedules_are_straight_and_cosine() -> None:
    trainer = FlowTrainer(Hypergrid(2, 3), FlowSettings.model_validate(EVERYTHING), generator())
    metrics = [trainer.step() for _ in range(14)]
    assert [m["epsilon"] for m in metrics[:10]] == pytest.approx([0.5 * (1 - k / 9) for k in range(10)])
    assert metrics[6]["lr"] == pytest.approx(0.5e-3)
    assert metrics[12]["lr"] == pytest.approx(0.0)
    assert metrics[13]["epsilon"] == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"batchsize": 3}, {"loss": {"name": "tv"}}, {"replay": {"share": 1.0}}, {"exploration": {"epsilon": 2}}],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FlowSettings.model_validate(wrong)


def test_linex_without_slant_is_refused() -> None:
    with pytest.raises(UserError, match=r"loss\.linex_a"):
        build_regression(settings(loss={"regression": "linex", "linex_a": 0}).loss)


def test_state_without_a_buffer_does_not_fit_settings_with_one() -> None:
    plain = FlowTrainer(Hypergrid(2, 3), settings(), generator())
    other = FlowTrainer(Hypergrid(2, 3), settings(replay={"share": 0.5}), generator())
    with pytest.raises(UserError, match=r"replay\.share"):
        other.load_state_dict(plain.state_dict())
