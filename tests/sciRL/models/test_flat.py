"""The flat training forward against the Hugging Face forward: same values, same gradients, fewer tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sciRL.learning.learner import Learner, scored_positions
from sciRL.learning.micro_batches import shared_prompt_batches
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.learning.scorer import TokenScorer
from sciRL.models import flat
from sciRL.models.tiny import Layout, tiny_model
from sciRL.objective.entropy import EntropyBonus
from sciRL.objective.policy import ClippedPolicy
from sciRL.objective.value import ValueLoss
from sciRL.trajectory import Role, TrajectoryBatch

VOCABULARY = 37


def make_model(layout: Layout, tied: bool = True) -> Any:
    model = tiny_model(VOCABULARY, layout, hidden=24, layers=2, heads=6, kv_heads=2, mlp=40, max_length=64, tied=tied)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        # Norms of 1 and biases of 0 would hide a weight that is left out.
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def make_batch(rows: list[tuple[int, int, int]]) -> TrajectoryBatch:
    """Rows of (prompt number, prompt length, answer length)."""
    generator = torch.Generator().manual_seed(0)
    # Token 0 is the padding token, which the embedding gives no gradient; a policy can draw it all the same.
    ids = torch.randint(0, VOCABULARY, (200,), generator=generator).tolist()
    answers = [torch.randint(0, VOCABULARY, (n,), generator=generator).tolist() for _, _, n in rows]
    return TrajectoryBatch.from_rows([ids[p : p + n] for p, n, _ in rows], answers, [p for p, _, _ in rows])


def scores_and_gradient(model: Any, batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
    ids_BT, index_A = scored_positions(batch)
    model.zero_grad()
    logp, entropy, _ = TokenScorer(model)(ids_BT, index_A, 0.9, "gradient", False)
    weight = torch.randn(len(index_A), generator=torch.Generator().manual_seed(2))
    ((logp + 0.1 * entropy) * weight).sum().backward()
    return logp.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


def assert_equal_to_hugging_face(model: Any, batch: TrajectoryBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TokenScorer(model).shares_prompts()
    logp, gradient = scores_and_gradient(model, batch)
    with monkeypatch.context() as patch:
        patch.setattr(flat, "usable", lambda model: False)
        expected, expected_gradient = scores_and_gradient(model, batch)
    assert float((logp - expected).abs().max()) <= 3e-6
    scale = float(expected_gradient.abs().max())
    assert float((gradient - expected_gradient).abs().max()) <= 1e-6 * scale


SHAPES = {
    "equal": [(0, 5, 9), (0, 5, 9), (7, 5, 9), (7, 5, 9)],
    "ragged": [(0, 5, 20), (7, 3, 1), (0, 5, 2), (7, 3, 11), (9, 8, 19), (0, 5, 14), (7, 3, 1)],
    "one token each": [(0, 1, 1), (3, 2, 1)],
    "one row": [(0, 4, 6)],
    "same start, other length": [(0, 4, 6), (0, 6, 5), (0, 4, 2)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["llama", "qwen2", "qwen3"])
def test_scores_and_gradients_are_those_of_hugging_face(
    layout: Layout, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_equal_to_hugging_face(make_model(layout), make_batch(SHAPES[shape]), monkeypatch)


def test_untied_head(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equal_to_hugging_face(make_model("llama", tied=False), make_batch(SHAPES["ragged"]), monkeypatch)


def test_rows_of_several_turns_and_a_row_without_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch([(0, 5, 12), (0, 5, 12), (9, 4, 9)])
    batch.role[8:11] = int(Role.OBSERVATION)
    batch.role[batch.offsets[2] :] = int(Role.PROMPT)
    assert_equal_to_hugging_face(make_model("qwen2"), batch, monkeypatch)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 12)), min_size=1, max_size=8))
def test_every_scored_token_is_predicted_from_the_token_before_it(rows: list[tuple[int, int, int]]) -> None:
    batch = make_batch(rows)
    ids_BT, index_A = scored_positions(batch)
    layout = flat.flat_layout(ids_BT, index_A)
    assert torch.equal(layout.ids[layout.before], ids_BT.flatten()[index_A - 1])
    assert torch.equal(layout.position[layout.before], index_A % ids_BT.shape[1] - 1)
    prompts = {tuple(batch.ids[a : a + n].tolist()) for a, (_, n, _) in zip(batch.offsets.tolist(), rows, strict=False)}
    assert len(layout.ids) == sum(len(p) for p in prompts) + sum(n - 1 for _, _, n in rows)


def test_learner_gradients_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(SHAPES["ragged"])
    batch.advantage = batch.spread(torch.linspace(-1, 1, len(batch)), "row") * batch.action
    batch.logp_old = torch.full((batch.n_tokens,), -3.6)
    batch.value = torch.zeros(batch.n_tokens)
    batch.value_target = torch.ones(batch.n_tokens)
    terms = [ClippedPolicy(), EntropyBonus(0.01), ValueLoss()]

    def gradient(max_tokens: int) -> Tensor:
        learner = Learner(make_model("qwen2"), OptimizerConfig(), total_steps=1, max_tokens=max_tokens, critic=True)
        learner.accumulate_gradients(batch, terms)
        return torch.cat([p.grad.flatten() for p in learner.scorer.parameters() if p.grad is not None])

    found = [gradient(size) for size in (1, 30, 10_000)]
    monkeypatch.setattr(flat, "usable", lambda model: False)
    expected = gradient(10_000)
    for other in found:
        assert float((other - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_what_it_cannot_compute_goes_through_the_models_own_forward() -> None:
    model = make_model("llama")
    assert flat.usable(model)
    handle = model.model.layers[0].register_forward_hook(lambda module, inputs, output: None)
    assert not flat.usable(model)
    handle.remove()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not flat.usable(model)
    model.gradient_checkpointing_enable()
    assert not flat.usable(model)
    assert not flat.usable(make_model("llama").to(torch.bfloat16))


def test_adapters_are_not_read() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(make_model("llama"), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert flat.supports(model) == "an adapter or a distributed wrapper"
    assert not TokenScorer(model).shares_prompts()


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 12)), min_size=1, max_size=12),
    st.integers(1, 60),
    st.sampled_from([1, 2]),
)
def test_micro_batches_cover_every_unit_once_within_the_budget(
    rows: list[tuple[int, int, int]], budget: int, unit: int
) -> None:
    rows = [(number, 1 + number, length) for number, _, length in rows]
    rows = rows[: len(rows) // unit * unit]
    if not rows:
        return
    batch = make_batch(rows)
    chunks = [chunk.tolist() for chunk in shared_prompt_batches(batch, budget, unit)]
    assert sorted(row for chunk in chunks for row in chunk) == list(range(len(rows)))
    for chunk in chunks:
        for start in range(0, len(chunk), unit):
            assert chunk[start] % unit == 0
            assert chunk[start + unit - 1] == chunk[start] + unit - 1
        tokens = sum(rows[i][2] for i in chunk) + sum(n for _, n in {rows[i][:2] for i in chunk})
        assert tokens <= budget or len(chunk) == unit
