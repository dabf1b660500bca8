"""Precise spans find the sampled ids that carry them, in every kind of tokenizer and for any text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from toy_domain import DOMAIN, ToyDomain
from transformers import PreTrainedTokenizerFast

from sciRL.learning.token_weights import PrecisionWeights, overlapping, precise_tokens, token_spans
from sciRL.models.tiny import EOS_ID, UNK_ID, tokenizer_from_tokens
from sciRL.trajectory import TrajectoryBatch

CORPUS = ["result = cq.Workplane().box(10.5, 20, 3).hole(12)  # ein Loch von 12 mm, Übermaß 0.5°", "ö ü ° 12.5 µm €"]
KINDS = ("byte_level", "metaspace", "word_level")


@cache
def tokenizer_of(kind: str) -> Any:
    """A tokenizer trained on the spot: bytes merged (characters get split), SentencePiece's spaces, or whole words."""
    if kind == "word_level":
        return tokenizer_from_tokens(["result", " = ", ".box(", ", ", ")", ".", "é", *"0123456789"])
    backend = Tokenizer(models.BPE(byte_fallback=kind == "metaspace"))
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    if kind == "byte_level":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=["<eos>", *bytes_])
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", clean_up_tokenization_spaces=False)


def numbers(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"[0-9.]*[0-9]", text)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["result = .box(10.5, 20)", "10.5, é20", "5° 12€ 7漢字3", "", "  1  "])
def test_spans_lie_over_the_text_in_order_and_leave_no_gap(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode(text, add_special_tokens=False)
    decoded = tokenizer.decode(ids)
    spans = token_spans(tokenizer, ids)
    reached = 0
    for start, end in spans:
        assert start <= reached <= end
        reached = end
    assert reached == len(decoded)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_characters_are_covered_by_the_ids_that_spell_them(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode("result = .box(10.5, 20)", add_special_tokens=False)
    text = tokenizer.decode(ids)
    for index, (start, end) in zip(ids, token_spans(tokenizer, ids), strict=True):
        assert text[start:end].strip() == tokenizer.decode([index]).strip()


def test_ids_that_split_a_character_share_it() -> None:
    tokenizer = tokenizer_of("byte_level")
    ids = [tokenizer.convert_tokens_to_ids(token) for token in ("5", "æ", "¼", "¢", "7")]  # 漢 is E6 BC A2
    assert tokenizer.decode(ids) == "5漢7"
    assert token_spans(tokenizer, ids) == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert overlapping(token_spans(tokenizer, ids), [(0, 1), (2, 3)]) == [True, False, False, False, True]


@pytest.mark.parametrize("kind", KINDS)
@given(ids=st.lists(st.integers(0, 300), max_size=30))
def test_any_ids_cover_every_whole_character_of_their_text(kind: str, ids: list[int]) -> None:
    """Sampled ids need not be those that a text would be cut into, and may spell bytes that are no text at all."""
    tokenizer = tokenizer_of(kind)
    ids = [index % len(tokenizer) for index in ids]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    spans = token_spans(tokenizer, ids)
    assert len(spans) == len(ids)
    covered = {position for start, end in spans for position in range(start, end)}
    assert {position for position, letter in enumerate(text) if letter != "\ufffd"} <= covered


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=8), st.integers(-5, 25), st.integers(-5, 25)
)
def test_overlap_is_a_common_character(tokens: list[tuple[int, int]], start: int, end: int) -> None:
    common = [max(a, start) < min(b, end) for a, b in tokens]
    assert overlapping(tokens, [(start, end)]) == common
    assert overlapping(tokens, []) == [False] * len(tokens)


def test_only_the_answers_number_tokens_are_precise() -> None:
    tokenizer = tokenizer_from_tokens(["x = ", "1", "2", "ab"])
    one, two, ab, x = (tokenizer.convert_tokens_to_ids(token) for token in ("1", "2", "ab", "x = "))
    rows = [[x, one, two, ab, EOS_ID], [ab, UNK_ID, two], [EOS_ID]]
    batch = TrajectoryBatch.from_rows([[one, two], [two], [one]], rows, [0, 0, 0])
    found = precise_tokens(batch, tokenizer, numbers)
    # The prompts' numbers never count, "<unk>" takes five characters of the text that the policy is judged by.
    expected = [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert found.tolist() == [bool(value) for value in expected]


def test_weights_multiply_and_leave_what_is_masked_out_masked() -> None:
    class Precise(ToyDomain):
        def precise_spans(self, answer: str) -> list[tuple[int, int]]:
            return numbers(answer)

    tokenizer = tokenizer_from_tokens([*DOMAIN.vocabulary(None, None).tokens])  # type: ignore[arg-type]
    seven, plus = tokenizer.convert_tokens_to_ids("7"), tokenizer.convert_tokens_to_ids("+")
    batch = TrajectoryBatch.from_rows([[plus], [plus]], [[seven, plus], [seven, seven]], [0, 0])
    batch.weight = batch.weight * (batch.row_of_token == 0)
    weighted, metrics = PrecisionWeights(tokenizer, Precise(), 4.0).apply(batch)
    assert weighted.weight.tolist() == [0, 4, 1, 0, 0, 0]
    assert metrics == {"precise_tokens": 0.5}
    same, none = PrecisionWeights(tokenizer, Precise(), 1.0).apply(batch)
    assert same is batch
    assert none == {}
    assert torch.equal(batch.weight, torch.tensor([0.0, 1, 1, 0, 0, 0]))
