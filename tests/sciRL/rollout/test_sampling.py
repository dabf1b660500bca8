from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciRL.rollout.base import SamplingParameters
from sciRL.rollout.sampling import draw, filtered, uniforms

LOGITS = arrays(np.float32, (3, 17), elements=st.floats(-60, 60, width=32))
UNIFORM = st.one_of(st.sampled_from([0.0, 0.5, 1 - 2**-24]), st.floats(0, 1 - 2**-24, width=32))


@given(LOGITS, UNIFORM, st.integers(0, 20), st.floats(0.01, 1), st.sampled_from([0.3, 1.0, 2.0]))
def test_a_token_outside_the_filters_is_never_picked(logits, uniform, top_k, top_p, temperature) -> None:
    parameters = SamplingParameters(1, temperature, top_p, top_k)
    logits_BV = torch.from_numpy(logits)
    ids, logp = draw(logits_BV, torch.full((3,), uniform), parameters)
    p = (logits_BV / temperature).softmax(-1)
    kept = filtered(p, parameters)
    assert (kept.gather(1, ids[:, None]) > 0).all()
    expected = (logits_BV / temperature).log_softmax(-1).gather(1, ids[:, None])[:, 0]
    torch.testing.assert_close(logp, expected, atol=1e-4, rtol=1e-5)


@given(LOGITS, st.integers(1, 17), st.floats(0.05, 0.95))
def test_filters_keep_the_smallest_sufficient_set(logits, top_k, top_p) -> None:
    p = torch.from_numpy(logits).softmax(-1)
    by_count = filtered(p, SamplingParameters(top_k=top_k)) > 0
    assert (p[by_count].min() >= p.sort(dim=-1, descending=True).values[:, top_k - 1].min()).all()
    by_mass = filtered(p, SamplingParameters(top_p=top_p))
    assert (by_mass.sum(-1) >= top_p - 1e-5).all()
    least = torch.where(by_mass > 0, by_mass, 2.0).min(dim=-1).values
    assert ((by_mass.sum(-1) - least < top_p + 1e-5) | (least > 1)).all()


def test_zero_probability_at_either_end_is_never_picked() -> None:
    logits = torch.tensor([[-1e9, 0.0, -1e9, 0.0, -1e9]])
    picks = [int(draw(logits, torch.tensor([u]), SamplingParameters())[0]) for u in (0.0, 0.499, 0.5, 1 - 2**-24)]
    assert picks == [1, 1, 3, 3]


def test_large_vocabulary_frequencies() -> None:
    p = torch.tensor([[0.5, 0.25, 0.125, 0.0625, 0.0625]]).repeat(1, 1)
    u = uniforms(range(20_000), 1)[:, 0]
    ids, _ = draw(p.log().expand(20_000, 5), u, SamplingParameters())
    counts = torch.bincount(ids, minlength=5).double()
    deviation = (counts - 20_000 * p[0]) / (20_000 * p[0] * (1 - p[0])).sqrt()
    assert deviation.abs().max() < 4


def test_uniforms_depend_on_the_seed_alone() -> None:
    short, long = uniforms([7, -3, 2**63], 5), uniforms([2**63, 7, -3], 50)
    assert torch.equal(short[0], long[1, :5])
    assert torch.equal(short[1], long[2, :5])
    assert torch.equal(short[2], long[0, :5])
    assert long.min() >= 0
    assert long.max() < 1
    assert len(torch.unique(long)) > 140
