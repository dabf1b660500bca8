"""Bit sequences: modes, rewards, moves of both ways of writing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domains.gflownet.bits import BLOCKS, AppendBits, BitSequences, FillBits, mode_sequences
from sciRL.errors import UserError
from sciRL.flow.rollout import sample
from sciRL.flow.tables import tables_pay

KINDS = [AppendBits, FillBits]


def test_modes_are_made_of_the_five_blocks_and_repeat_with_the_seed() -> None:
    modes = mode_sequences(120, 60, 3)
    assert modes.shape == (60, 120)
    blocks = {"".join(map(str, block)) for block in modes.view(-1, 8).tolist()}
    assert blocks == set(BLOCKS)
    assert torch.equal(modes, mode_sequences(120, 60, 3))
    assert not torch.equal(modes, mode_sequences(120, 60, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_classic_sizes_and_reward(kind: type[BitSequences]) -> None:
    bits = kind()
    assert (bits.n, bits.word, bits.places, bits.max_length) == (120, 8, 15, 16)
    assert bits.n_actions == (257 if kind is AppendBits else 15 * 256 + 1)
    assert bits.enumerate() is None
    assert not tables_pay(bits, 64)
    text = "".join(map(str, mode_sequences(120, 60, 0)[7].tolist()))
    exact, flipped = bits.read([text, ("1" if text[0] == "0" else "0") + text[1:]]), -3.0 / 120
    assert bits.log_reward(exact).tolist() == pytest.approx([0.0, flipped])
    assert bits.texts(exact)[0] == text
    assert bool(bits.modes_found(exact)[7])
    assert not bool(bits.modes_found(bits.source(2)).any())  # nothing complete


def test_distance_counts_differing_bits_and_only_those_written() -> None:
    bits = FillBits(8, 2, modes=torch.tensor([[1, 1, 0, 0, 1, 1, 0, 0]]))
    assert bits.mode_distances(bits.read(["11001101"])).tolist() == [[1.0]]
    partial = torch.tensor([[0, -1, -1, 3]])  # 00----11
    assert bits.texts(partial) == ["00----11"]
    assert bits.mode_distances(partial).tolist() == [[4.0]]
    assert float(bits.log_reward(partial)) == pytest.approx(-3.0 * 4 / 8)


def test_words_are_read_with_the_first_bit_highest() -> None:
    bits = AppendBits(8, 4)
    assert bits.read(["00011000"]).tolist() == [[1, 8]]


@pytest.mark.parametrize("kind", KINDS)
@given(shape=st.sampled_from([(3, 1), (6, 2), (8, 4), (9, 3)]), seed=st.integers(0, 500), written=st.integers(0, 9))
def test_moves_are_undone_and_redone(kind: type[BitSequences], shape: tuple[int, int], seed: int, written: int) -> None:
    n, word = shape
    bits = kind(n, word, modes=torch.zeros(1, n, dtype=torch.int64))
    random = torch.Generator().manual_seed(seed)
    states = bits.source(12)
    for _ in range(min(written, bits.places)):
        law = bits.forward_mask(states).double()
        states = bits.step(states, torch.multinomial(law, 1, generator=random).squeeze(1))
    every = bits.enumerate()
    assert every is not None
    assert torch.equal(every[bits.index(states)], states)
    mask = bits.forward_mask(states)
    assert bool(mask.any(1).all())
    assert mask[:, -1].tolist() == [min(written, bits.places) == bits.places] * 12
    rows, actions = mask[:, :-1].nonzero(as_tuple=True)
    if not len(rows):
        assert torch.equal(bits.read(bits.texts(states)), states)
        return
    children = bits.step(states[rows], actions)
    assert bool((bits.index(children) > bits.index(states[rows])).all())
    undo = bits.back_of(states[rows], actions)
    assert bool(bits.backward_mask(children).gather(1, undo.unsqueeze(1)).all())
    assert torch.equal(bits.back(children, undo), states[rows])
    assert torch.equal(bits.forth_of(children, undo), actions)
    assert len({tuple(child) for child in children[rows == 0].tolist()}) == int((rows == 0).sum())


@pytest.mark.parametrize(("kind", "count"), [(AppendBits, 1 + 4 + 16 + 64), (FillBits, 5**3)])
def test_all_states_are_enumerated_once(kind: type[BitSequences], count: int) -> None:
    bits = kind(6, 2, modes=torch.zeros(1, 6, dtype=torch.int64))
    every = bits.enumerate()
    assert every is not None
    assert len(every) == count == len(torch.unique(every, dim=0))
    assert torch.equal(bits.index(every), torch.arange(count))


def test_random_sequences_of_the_classic_size_are_far_from_the_modes() -> None:
    from flow_cases import generator, network

    bits = AppendBits()
    drawn = sample(bits, network(bits), 64, generator(), epsilon=1.0)
    assert bool((drawn.lengths == 16).all())
    # The nearest of 60 modes to a random sequence of 120 bits is about 47 bits away.
    assert 40 < float(bits.mode_distances(drawn.objects).min(1).values.mean()) < 52
    assert float(drawn.log_reward.mean()) == pytest.approx(
        -3 / 120 * float(bits.mode_distances(drawn.objects).min(1).values.mean()), rel=1e-6
    )
    assert math.isfinite(float(drawn.log_reward.min()))


@pytest.mark.parametrize("wrong", [{"n": 12}, {"n": 120, "word": 7}, {"word": 0}, {"modes": torch.zeros(0, 120)}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="bit sequences"):
        AppendBits(**wrong)  # type: ignore[arg-type]


@given(st.text(max_size=10) | st.sampled_from(["0101010", "01010102", "٠٠٠٠٠٠٠٠"]))
def test_texts_that_are_no_sequences_are_refused(text: str) -> None:
    bits = FillBits(8, 2)
    if len(text) == 8 and set(text) <= {"0", "1"}:
        assert bits.texts(bits.read([text])) == [text]
        return
    with pytest.raises(UserError, match="8 characters 0 or 1"):
        bits.read([text])
