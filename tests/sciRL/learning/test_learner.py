"""The learner's exactness: loss and gradient do not depend on how the batch is cut, sorted or skipped."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sciRL.learning.learner import Learner, scored_positions
from sciRL.learning.optimizer import OptimizerConfig, learning_rate_factor, make_optimizer
from sciRL.objective.base import AGGREGATIONS, LossTerm
from sciRL.objective.entropy import EntropyBonus
from sciRL.objective.kl import KlToReference
from sciRL.objective.policy import ClippedPolicy
from sciRL.objective.preference import PreferenceTerm
from sciRL.objective.sft import CrossEntropy
from sciRL.objective.value import ValueLoss
from sciRL.trajectory import Role, TrajectoryBatch

VOCABULARY = 31


def make_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def make_batch(rows: int = 8, seed: int = 0) -> TrajectoryBatch:
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()

    batch = TrajectoryBatch.from_rows(
        [draw(1, 5) for _ in range(rows)], [draw(1, 14) for _ in range(rows)], [i // 4 for i in range(rows)]
    )
    shape = (batch.n_tokens,)
    batch.logp_sampler = -3 + 0.1 * torch.randn(shape, generator=generator)
    batch.logp_old = batch.logp_sampler + 0.05 * torch.randn(shape, generator=generator)
    batch.logp_ref = batch.logp_old + 0.05 * torch.randn(shape, generator=generator)
    batch.advantage = batch.spread(torch.randn(rows, generator=generator), "row") * batch.action
    batch.value = 0.1 * torch.randn(shape, generator=generator)
    batch.value_target = torch.randn(shape, generator=generator)
    return batch


def make_learner(max_tokens: int = 10_000, **options: Any) -> Learner:
    return Learner(make_model(), OptimizerConfig(learning_rate=1e-3), total_steps=10, max_tokens=max_tokens, **options)


def gradient_of(learner: Learner, batch: TrajectoryBatch, terms: list[LossTerm]) -> tuple[torch.Tensor, float]:
    learner.optimizer.zero_grad()
    sums = learner.accumulate_gradients(batch, terms)
    gradient = torch.cat([p.grad.flatten() for p in learner.scorer.parameters() if p.grad is not None])
    return gradient, sum(value for name, value in sums.items() if name.startswith("loss/"))


TERMS = [
    *[[ClippedPolicy(name, constant_length=16)] for name in AGGREGATIONS],
    [ClippedPolicy("seq-mean-token-mean", 3e-4, 4e-4, ratio="sequence")],
    [ClippedPolicy(sampler_cap=2.0)],
    *[[CrossEntropy(name, constant_length=16)] for name in AGGREGATIONS],
    *[[KlToReference(0.1, estimator)] for estimator in ("k1", "k2", "k3")],
    [EntropyBonus(0.01)],
    [PreferenceTerm(0.1, "dpo")],
    [PreferenceTerm(0.1, "ipo")],
    [ValueLoss()],
    [ClippedPolicy(), KlToReference(0.1), EntropyBonus(0.01), ValueLoss()],
]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "+".join(f"{t.name}" for t in terms))
def test_loss_and_gradient_do_not_depend_on_micro_batches(terms: list[LossTerm], weighted: bool) -> None:
    batch = make_batch()
    if weighted:
        batch.weight = batch.weight * torch.tensor([1.0, 0.0, 2.0, 4.0])[torch.arange(batch.n_tokens) % 4]
    critic = any("value" in term.outputs for term in terms)
    expected, loss = gradient_of(make_learner(critic=critic), batch, terms)
    assert float(expected.abs().max()) > 0
    for max_tokens in (1, 40):
        gradient, other = gradient_of(make_learner(max_tokens, critic=critic), batch, terms)
        assert other == pytest.approx(loss, rel=1e-6, abs=1e-6)
        scale = max(1.0, float(expected.abs().max()))
        assert float((gradient - expected).abs().max()) <= 1e-6 * scale


def test_order_of_rows_does_not_matter() -> None:
    batch = make_batch()
    expected, _ = gradient_of(make_learner(40), batch, [ClippedPolicy()])
    gradient, _ = gradient_of(make_learner(40), batch.select([5, 2, 7, 0, 1, 6, 3, 4]), [ClippedPolicy()])
    assert float((gradient - expected).abs().max()) <= 1e-6


def test_rows_without_advantage_are_skipped_without_changing_the_gradient() -> None:
    batch = make_batch()
    assert batch.advantage is not None
    batch.advantage = batch.advantage * (batch.row_of_token % 2 == 0)

    class KeepsAllRows(ClippedPolicy):
        def active_rows(self, batch: TrajectoryBatch, coefficient: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(batch), dtype=torch.bool)

    learner = make_learner()
    gradient, _ = gradient_of(learner, batch, [ClippedPolicy()])
    spent = learner.compute
    full = make_learner()
    expected, _ = gradient_of(full, batch, [KeepsAllRows()])
    assert float((gradient - expected).abs().max()) <= 1e-7
    assert spent < full.compute


def test_a_kl_term_keeps_rows_that_the_policy_term_would_skip() -> None:
    batch = make_batch()
    batch.advantage = torch.zeros(batch.n_tokens)
    learner = make_learner()
    assert learner.update(batch, [ClippedPolicy()])["rows_trained"] == 0
    assert learner.update(batch, [ClippedPolicy(), KlToReference(0.1)])["rows_trained"] == 1


def test_only_action_tokens_have_gradient() -> None:
    """Perturbing what follows a non-action position changes no logit gradient there: it is exactly zero."""
    batch = make_batch()
    batch.role[batch.offsets[:-1] + batch.segment_sum((batch.role == Role.PROMPT).long(), "row")] = int(
        Role.OBSERVATION
    )
    learner = make_learner()
    model = learner.model
    kept: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = model.model.register_forward_hook(lambda m, i, o: keep(m, i, o.last_hidden_state))
    # The last hidden state feeds the head only: its gradient shows which positions a loss looks at.
    learner.accumulate_gradients(batch, [ClippedPolicy(), KlToReference(0.1), EntropyBonus(0.01)])
    handle.remove()
    (hidden,) = kept
    order = next(batch.micro_batches(10_000))
    part = batch.select(order)
    looked_at = torch.zeros(hidden.shape[:2], dtype=torch.bool).flatten()
    looked_at[scored_positions(part)[1] - 1] = True
    assert hidden.grad is not None
    nonzero = (hidden.grad.abs().sum(-1) > 0).flatten()
    assert torch.equal(nonzero, looked_at)


def test_scores_equal_the_models_own_log_softmax() -> None:
    batch = make_batch()
    learner = make_learner(40, temperature=0.7)
    scored = learner.score(batch, frozenset({"logp_old", "entropy"}))
    ids_BT = batch.padded("ids")
    with torch.no_grad():
        logp_BTV = (make_model()(input_ids=ids_BT).logits / 0.7).log_softmax(-1)
    expected = logp_BTV[:, :-1].gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
    spread = -(logp_BTV.exp() * logp_BTV).sum(-1)[:, :-1]
    assert scored.logp_old is not None
    assert scored.entropy is not None
    action = batch.padded(batch.action)[:, 1:]
    assert torch.allclose(scored.padded("logp_old")[:, 1:][action], expected[action], atol=1e-5)
    assert torch.allclose(scored.padded("entropy")[:, 1:][action], spread[action], atol=1e-5)


def test_chunked_head_gives_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch()
    expected, _ = gradient_of(make_learner(), batch, [CrossEntropy()])
    monkeypatch.setattr("sciRL.learning.scorer.HEAD_CHUNK_ELEMENTS", 5 * VOCABULARY)
    gradient, _ = gradient_of(make_learner(), batch, [CrossEntropy()])
    assert float((gradient - expected).abs().max()) <= 1e-6


def test_reference_stays_while_the_policy_moves() -> None:
    batch = make_batch()
    learner = make_learner()
    learner.freeze_reference()
    before = learner.score(batch, frozenset({"logp_old"})).logp_old
    for _ in range(3):
        learner.update(batch, [CrossEntropy()])
    after = learner.score(batch, frozenset({"logp_old", "logp_ref"}))
    assert before is not None
    assert after.logp_ref is not None
    assert torch.equal(after.logp_ref[batch.action], before[batch.action])
    assert not torch.allclose(after.logp_old[batch.action], before[batch.action])  # type: ignore[index]


def test_lora_reference_is_the_adapter_at_the_freeze() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = get_peft_model(make_model(), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    learner = Learner(model, OptimizerConfig(learning_rate=1e-2), total_steps=10)
    batch = make_batch()
    for _ in range(3):
        learner.update(batch, [CrossEntropy()])
    learner.freeze_reference()
    frozen = learner.score(batch, frozenset({"logp_old"})).logp_old
    for _ in range(3):
        learner.update(batch, [CrossEntropy()])
    scored = learner.score(batch, frozenset({"logp_old", "logp_ref"}))
    assert frozen is not None
    assert scored.logp_ref is not None
    assert torch.equal(scored.logp_ref, frozen)
    assert not torch.allclose(scored.logp_old, frozen)  # type: ignore[arg-type]


def test_state_restores_the_next_update_bit_for_bit() -> None:
    batch = make_batch()
    terms: list[LossTerm] = [ClippedPolicy(), KlToReference(0.1)]
    one = make_learner()
    one.freeze_reference()
    one.update(batch, terms)
    state = copy.deepcopy(one.state_dict())
    weights = copy.deepcopy(one.model.state_dict())
    one.update(batch, terms)
    other = make_learner()
    other.model.load_state_dict(weights)
    other.load_state_dict(state)
    other.update(batch, terms)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name


def test_not_a_number_stops_the_run() -> None:
    batch = make_batch()
    batch.advantage = torch.full((batch.n_tokens,), float("nan"))
    with pytest.raises(FloatingPointError, match="optimiser step 0"):
        make_learner().update(batch, [ClippedPolicy()])


def test_a_row_that_begins_with_an_action_is_refused() -> None:
    batch = make_batch()
    bad = replace(batch, role=torch.full_like(batch.role, int(Role.ACTION)))
    with pytest.raises(ValueError, match="at least one prompt token"):
        scored_positions(bad)


def test_learning_rate_schedule() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=4, schedule="cosine", final_fraction=0.1)
    factors = [learning_rate_factor(config, step, 24) for step in (0, 3, 4, 14, 24)]
    assert factors == pytest.approx([0.25, 1.0, 1.0, 0.55, 0.1])


def test_a_large_epsilon_makes_momentum_sgd() -> None:
    def moved(epsilon: float, rate: float) -> list[float]:
        weight = torch.nn.Parameter(torch.zeros(2))
        optimizer = make_optimizer(OptimizerConfig(learning_rate=rate, epsilon=epsilon), [weight])
        weight.grad = torch.tensor([1e-3, 1e-1])
        optimizer.step()
        return weight.tolist()

    assert moved(1e-8, 1e-2) == pytest.approx([-1e-2, -1e-2], rel=1e-4)
    assert moved(1e3, 1e3) == pytest.approx([-1e-3, -1e-1], rel=1e-3)
