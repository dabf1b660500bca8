from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciRL.models.lean import Cache, LeanDecoder
from sciRL.models.tiny import tiny_model
from sciRL.rollout.base import ForcedText, GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler
from sciRL.rollout.memory import PrefixMemory

EOS = 2
PARAMETERS = SamplingParameters(max_new_tokens=12)


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    made = tiny_model(30, "qwen3", hidden=32, layers=2, heads=4, kv_heads=2, mlp=64, max_length=160, tied=True)
    for parameter in made.parameters():
        parameter.data += torch.randn(parameter.shape) * 0.1
    return made.eval()


def sampler(max_batch: int = 256) -> LeanSampler:
    return LeanSampler(model(), [EOS], max_batch=max_batch)


class Turns:
    """Contexts that grow by what was drawn and by a reply, some of which leave."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.rng = rng
        self.contexts = [tuple(int(t) for t in rng.integers(3, 30, 4 + 3 * (i // 4))) for i in range(12)]

    def play(self, drawn_by: LeanSampler, turns: int) -> list[tuple[list[int], list[float]]]:
        found = []
        for turn in range(turns):
            requests = [GenerationRequest(ids, seed=100 * turn + i) for i, ids in enumerate(self.contexts)]
            completions = drawn_by.generate(requests, PARAMETERS)
            found += [(c.ids.tolist(), c.logp.tolist()) for c in completions]
            read = [(*ids, *c.ids.tolist()) for ids, c in zip(self.contexts, completions, strict=True)]
            found += [([7, 9], logp.tolist()) for logp in drawn_by.logp([ForcedText(ids, (7, 9)) for ids in read])]
            replies = [tuple(int(t) for t in self.rng.integers(3, 30, 1 + i % 4)) for i in range(len(completions))]
            self.contexts = [(*ids, *reply) for ids, reply in zip(read, replies, strict=True)][: len(read) - turn]
        return found


def test_turns_with_and_without_memory_draw_the_same() -> None:
    plain = Turns().play(sampler(), 4)
    for max_batch in (256, 5):
        remembering = sampler(max_batch)
        with remembering.remembering():
            kept = Turns().play(remembering, 4)
        assert [ids for ids, _ in kept] == [ids for ids, _ in plain]
        for (_, left), (_, right) in zip(kept, plain, strict=True):
            np.testing.assert_allclose(left, right, atol=2e-6)


def test_a_turn_reads_only_what_is_new() -> None:
    read = []

    class Counting(LeanDecoder):
        def prefill(self, ids_BT, padding_B, cache, start=0):  # type: ignore[no-untyped-def]
            read.append(tuple(ids_BT.shape))
            return super().prefill(ids_BT, padding_B, cache, start)

    subject = sampler()
    subject.decoder.__class__ = Counting
    prompt = tuple(range(3, 23))
    with subject.remembering():
        drawn = subject.generate([GenerationRequest(prompt, seed) for seed in range(3)], PARAMETERS)
        grown = [GenerationRequest((*prompt, *c.ids.tolist(), 5, 6), 9) for c in drawn]
        subject.generate(grown, PARAMETERS)
        # The last token that was drawn and the two of the reply.
        assert read == [(1, 20), (3, 3)]
        subject.sync(model())
        subject.generate(grown[:1], PARAMETERS)
    assert read[2] == (1, len(grown[0].prompt_ids)), "new weights make what was kept useless"
    subject.generate(grown[:1], PARAMETERS)
    assert read[3] == read[2], "outside of `remembering` nothing is kept"


ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=8)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple))
def test_the_row_that_is_found_shares_the_longest_beginning(kept: list[tuple[int, ...]], ids: tuple[int, ...]) -> None:
    cache = Cache(sampler().decoder, 1, 8)
    memory = PrefixMemory()
    for row in kept:
        memory.keep(row, cache, 0, 1)

    def shared(row: tuple[int, ...]) -> int:
        return next((i for i in range(min(len(row), len(ids))) if row[i] != ids[i]), min(len(row), len(ids)))

    found, count = memory.find(ids)
    assert count == max(map(shared, kept), default=0)
    assert count == 0 or (found is not None and found.ids[:count] == ids[:count])
