"""Loss terms against the unit numbers of the GRPO family and of iterative DPO."""

from __future__ import annotations

import math

import pytest
import torch

from sciRL.algorithms.policy_optimization import PolicyOptimizationConfig, make_terms
from sciRL.objective.base import MicroBatch, token_coefficients
from sciRL.objective.kl import KlToReference, kl_estimate
from sciRL.objective.policy import ClippedPolicy, clipped_loss
from sciRL.objective.preference import preference_loss
from sciRL.objective.sft import CrossEntropy
from sciRL.trajectory import TrajectoryBatch


def card_batch() -> TrajectoryBatch:
    batch = TrajectoryBatch.from_rows([[1]] * 4, [[2] * n for n in (2, 4, 3, 1)], [0] * 4)
    batch.advantage = batch.spread(torch.tensor([0.8660254, -0.8660254, -0.8660254, 0.8660254]), "row")
    return batch


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token-mean", 0.3464),
        ("seq-mean-token-sum", 0.8660),
        ("seq-mean-token-mean", 0.0),
        ("seq-mean-token-sum-norm", 0.2165),
    ],
)
def test_on_policy_loss_of_every_aggregation(aggregation: str, expected: float) -> None:
    batch = card_batch()
    assert batch.advantage is not None
    coefficient = token_coefficients(batch, aggregation, constant_length=4)
    loss = (coefficient * -batch.advantage).sum()
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_rows_with_an_empty_mask_leave_sequence_means() -> None:
    batch = card_batch()
    batch.weight = batch.weight * (batch.row_of_token != 3)
    coefficient = token_coefficients(batch, "seq-mean-token-mean")
    assert float(coefficient.sum()) == pytest.approx(1.0)
    assert float(coefficient[batch.row_of_token == 0].sum()) == pytest.approx(1 / 3)


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_a_mean_is_divided_by_the_sum_of_weights(aggregation: str) -> None:
    """The precision-token loss of CAD-RL, eq. 8: 2.5 for nll (1, 4, 1) and weights (1, 2, 1), plain 2."""
    batch = TrajectoryBatch.from_rows([[1]], [[2, 3, 4]], [0])
    nll = torch.tensor([0.0, 1.0, 4.0, 1.0])
    assert float((token_coefficients(batch, aggregation) * nll).sum()) == pytest.approx(2.0)
    batch.weight = torch.tensor([0.0, 1.0, 2.0, 1.0])
    assert float((token_coefficients(batch, aggregation) * nll).sum()) == pytest.approx(2.5)
    batch.weight = torch.tensor([0.0, 0.2, 0.2, 0.2])
    assert float((token_coefficients(batch, aggregation) * nll).sum()) == pytest.approx(2.0)


def test_a_weight_is_relative_to_its_own_row_or_to_the_whole_batch() -> None:
    batch = TrajectoryBatch.from_rows([[1]] * 2, [[2, 3], [4]], [0, 0])
    batch.weight = torch.tensor([0.0, 1.0, 3.0, 0.0, 5.0])
    of_rows = token_coefficients(batch, "seq-mean-token-mean")[batch.action]
    assert of_rows.tolist() == pytest.approx([1 / 8, 3 / 8, 1 / 2])
    of_batch = token_coefficients(batch, "token-mean")[batch.action]
    assert of_batch.tolist() == pytest.approx([1 / 9, 3 / 9, 5 / 9])


def test_weights_hold_for_what_is_learnt_and_not_for_what_holds_in_place() -> None:
    batch = card_batch()
    plain = {term.name: term.prepare(batch) for term in (ClippedPolicy(), CrossEntropy(), KlToReference(1.0))}
    batch.weight = batch.weight * (1 + torch.arange(batch.n_tokens) % 2)
    weighted = {term.name: term.prepare(batch) for term in (ClippedPolicy(), CrossEntropy(), KlToReference(1.0))}
    assert torch.equal(weighted["kl"], plain["kl"])
    assert not torch.equal(weighted["policy"], plain["policy"])
    assert not torch.equal(weighted["cross_entropy"], plain["cross_entropy"])


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"), [(2.0, 1.0, 1.8), (0.5, 1.0, 0.5), (0.5, -1.0, -0.6), (2.0, -1.0, -2.0)]
)
def test_trust_region_stretch_of_cad_rl(ratio: float, advantage: float, expected: float) -> None:
    """CAD-RL, eq. 7: ratio bounds 0.6 and 1.8, as the settings of the method say them."""
    config = PolicyOptimizationConfig(method="cad_rl")
    term = next(term for term in make_terms(config) if isinstance(term, ClippedPolicy))
    logp = torch.tensor([math.log(ratio)])
    columns = {"advantage": torch.tensor([advantage]), "logp_old": torch.zeros(1)}
    loss, _ = term.per_token(MicroBatch(logp, torch.zeros(1, dtype=torch.int64), 1, columns))
    assert float(-loss) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "high", "expected"),
    [
        (1.5, 1.0, 0.2, -1.2),
        (1.5, 1.0, 0.28, -1.28),
        (0.5, -1.0, 0.2, 0.8),
        (2.0, -1.0, 0.2, 2.0),
        (4.0, -1.0, 0.2, 3.0),
    ],
)
def test_clip_cases(ratio: float, advantage: float, high: float, expected: float) -> None:
    loss = clipped_loss(torch.tensor(ratio), torch.tensor(advantage), 0.2, high, 3.0)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_gspo_uses_the_mean_log_ratio_with_token_gradients() -> None:
    logp = torch.tensor([0.1, -0.2, 0.3], requires_grad=True)
    micro = MicroBatch(
        logp, torch.zeros(3, dtype=torch.int64), 1, {"advantage": torch.ones(3), "logp_old": torch.zeros(3)}
    )
    loss, _ = ClippedPolicy("seq-mean-token-mean", 0.5, 0.5, ratio="sequence").per_token(micro)
    assert loss.tolist() == pytest.approx([-1.0689] * 3, abs=1e-4)
    loss.sum().backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([-1.0689] * 3, abs=1e-4)


def test_token_ratios_of_the_same_log_ratios() -> None:
    logp = torch.tensor([0.1, -0.2, 0.3])
    micro = MicroBatch(
        logp, torch.zeros(3, dtype=torch.int64), 1, {"advantage": torch.ones(3), "logp_old": torch.zeros(3)}
    )
    loss, _ = ClippedPolicy(clip_low=0.9, clip_high=0.9).per_token(micro)
    assert (-loss).tolist() == pytest.approx([1.1052, 0.8187, 1.3499], abs=1e-4)


def test_kl_estimators() -> None:
    logp, ref = torch.tensor(math.log(0.4)), torch.tensor(math.log(0.5))
    found = [float(kl_estimate(logp, ref, name)) for name in ("k1", "k2", "k3")]
    assert found == pytest.approx([-0.2231, 0.0249, 0.0269], abs=1e-4)


def test_preference_losses() -> None:
    h = torch.tensor((-10.0 + 12.0) - (-11.0 + 10.5), requires_grad=True)
    loss = preference_loss(h, 0.1, "dpo")
    assert float(loss.detach()) == pytest.approx(0.5759, abs=1e-4)
    loss.backward()
    assert h.grad is not None
    assert float(h.grad) / -0.1 == pytest.approx(0.4378, abs=1e-4)
    assert float(preference_loss(h.detach(), 0.1, "ipo")) == pytest.approx(6.25, abs=1e-4)
    plaid = torch.tensor((-10.0 + 11.0) - (-14.0 + 12.0))
    assert float(preference_loss(plaid, 0.1, "dpo")) == pytest.approx(0.554355, abs=1e-6)
    assert float(preference_loss(torch.tensor(0.0), 0.1, "dpo")) == pytest.approx(0.693147, abs=1e-6)


def test_policy_gradient_of_a_bandit_matches_finite_differences() -> None:
    """Analytic against numeric gradient of the clipped objective in float64 (relative error < 1e-5)."""
    torch.manual_seed(0)
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    actions = torch.tensor([0, 1, 2, 1, 0])
    advantage = torch.tensor([1.0, -0.5, 0.3, -2.0, 0.7], dtype=torch.float64)
    old = (logits.detach() + 0.1 * torch.randn(3, dtype=torch.float64)).log_softmax(0)[actions]

    def objective(values: torch.Tensor) -> torch.Tensor:
        ratio = (values.log_softmax(0)[actions] - old).exp()
        return clipped_loss(ratio, advantage, 0.2, 0.2, 3.0).mean()

    objective(logits).backward()
    assert logits.grad is not None
    for index in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[index] = 1e-6
        numeric = (objective(logits.detach() + step) - objective(logits.detach() - step)) / 2e-6
        assert float(logits.grad[index]) == pytest.approx(float(numeric), rel=1e-5)
