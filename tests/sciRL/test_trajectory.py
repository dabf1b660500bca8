"""TrajectoryBatch: segments, selections and micro-batches of ragged columns."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciRL.trajectory import Role, TrajectoryBatch

ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7), st.integers(0, 3)), min_size=1, max_size=12)


def build(shape: list[tuple[int, int, int]]) -> TrajectoryBatch:
    prompts = [[100 + i] * p for i, (p, _, _) in enumerate(shape)]
    completions = [[200 + i] * c for i, (_, c, _) in enumerate(shape)]
    return TrajectoryBatch.from_rows(
        prompts,
        completions,
        [g for _, _, g in shape],
        logp_sampler=[[-0.5] * c for _, c, _ in shape],
        rows={"name": [f"row{i}" for i in range(len(shape))]},
    )


@given(ROWS)
def test_segment_sums_agree_with_python_loops(shape: list[tuple[int, int, int]]) -> None:
    batch = build(shape)
    x = torch.arange(batch.n_tokens).float()
    by_row = [float(x[a:b].sum()) for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    assert batch.segment_sum(x, "row").tolist() == pytest.approx(by_row)
    groups = sorted({g for _, _, g in shape})
    r = torch.arange(len(shape)).float()
    by_group = [sum(float(i) for i, (_, _, g) in enumerate(shape) if g == group) for group in groups]
    assert batch.segment_sum(r, "group").tolist() == pytest.approx(by_group)


@given(ROWS)
def test_segment_std_is_the_sample_standard_deviation(shape: list[tuple[int, int, int]]) -> None:
    batch = build(shape)
    r = torch.randn(len(shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for index, group in enumerate(sorted({g for _, _, g in shape})):
        members = torch.stack([r[i] for i, (_, _, g) in enumerate(shape) if g == group])
        expected = float(members.std()) if len(members) > 1 else 0.0
        assert float(batch.segment_std(r, "group")[index]) == pytest.approx(expected)


@given(ROWS, st.integers(1, 40))
def test_micro_batches_cover_every_row_once_within_the_budget(shape: list[tuple[int, int, int]], budget: int) -> None:
    batch = build(shape)
    chunks = list(batch.micro_batches(budget))
    assert sorted(torch.cat(chunks).tolist()) == list(range(len(shape)))
    for rows in chunks:
        assert len(rows) == 1 or int(batch.lengths[rows].max()) * len(rows) <= budget


@given(ROWS)
def test_select_and_concatenate_are_inverse(shape: list[tuple[int, int, int]]) -> None:
    batch = build(shape)
    parts = [batch.select([i]) for i in range(len(shape))]
    whole = TrajectoryBatch.concatenate(parts)
    assert torch.equal(whole.ids, batch.ids)
    assert torch.equal(whole.offsets, batch.offsets)
    assert whole.rows["name"] == batch.rows["name"]
    assert torch.equal(torch.nan_to_num(whole.logp_sampler), torch.nan_to_num(batch.logp_sampler))  # type: ignore[arg-type]


def test_pairs_stay_together() -> None:
    batch = build([(1, n, 0) for n in (1, 7, 2, 2, 6, 1)])
    for rows in batch.micro_batches(20, unit=2):
        assert (rows[0::2] % 2 == 0).all()
        assert torch.equal(rows[1::2], rows[0::2] + 1)
    with pytest.raises(ValueError, match="units of 4"):
        next(batch.micro_batches(20, unit=4))


def test_turns_are_numbered_over_the_batch() -> None:
    batch = build([(2, 4, 0), (1, 2, 0)])
    batch.turn = torch.tensor([0, 0, 0, 0, 1, 1, 0, 0, 0], dtype=torch.int32)
    assert batch.turn_of_token.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert batch.segment_sum(torch.ones(9), "turn").tolist() == [4, 2, 3]


def test_sampled_ids_are_the_record() -> None:
    batch = TrajectoryBatch.from_rows([[1, 2]], [[3, 4]], [0], logp_sampler=[[-1.0, -2.0]])
    assert batch.ids[batch.role == Role.ACTION].tolist() == [3, 4]
    assert batch.logp_sampler is not None
    assert batch.logp_sampler.isnan().tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match="row 0: 1 log-probs for 2 tokens"):
        TrajectoryBatch.from_rows([[1]], [[3, 4]], [0], logp_sampler=[[-1.0]])
