"""Episodes whose turns are written in advance: what was sampled stands in the row, however the context is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from chat_model import merging_tokenizer
from game_domain import KEY_DOOR, LOOKUP, GameDomain

from sciRL.advantage.base import AdvantageContext
from sciRL.algorithms.policy_optimization import TurnConfig
from sciRL.environments.conversation import ConversationEnvironment, Reply
from sciRL.environments.games import key_door, lookup
from sciRL.environments.games.key_door import KeyDoorEnvironment
from sciRL.environments.games.lookup import Lookup, LookupEnvironment
from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import LanguagePolicy
from sciRL.models.tiny import tokenizer_from_tokens
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, Request, SamplingParameters
from sciRL.rollout.episodes import EpisodeRollout, episode_batch
from sciRL.task import Message, Task
from sciRL.trajectory import Role, TrajectoryBatch
from sciRL.verification.base import Rubric
from sciRL.verification.pool import WorkerPool

Tokenizer = Any


class Scripted:
    """A sampler that writes given texts: for every call one for each request."""

    def __init__(self, tokenizer: Tokenizer, calls: Sequence[Sequence[str]], ended: bool = True) -> None:
        self.tokenizer, self.ended = tokenizer, ended
        self.calls: Iterator[Sequence[str]] = iter(calls)
        self.seen: list[tuple[GenerationRequest, Completion]] = []

    def generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        texts = next(self.calls)
        assert len(texts) == len(requests)
        written = [self._written(text) for text in texts]
        self.seen += zip(requests, written, strict=True)
        return written

    def _written(self, text: str) -> Completion:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        ids += [self.tokenizer.eos_token_id] if self.ended else []
        return Completion(np.array(ids), np.zeros(len(ids)), "eos" if self.ended else "length")

    def logp(self, forced: Sequence[ForcedText]) -> list[torch.Tensor]:
        raise NotImplementedError

    def sync(self, model: torch.nn.Module) -> None:
        raise NotImplementedError

    def remembering(self) -> nullcontext[None]:
        return nullcontext()


def scripted_rollout(
    tokenizer: Tokenizer,
    calls: Sequence[Sequence[str]],
    environment: ConversationEnvironment,
    rubric: Rubric,
    **given: Any,
) -> EpisodeRollout:
    model = torch.nn.Identity()
    model.config = type("Config", (), {"get_text_config": lambda self: self})()
    policy = LanguagePolicy(model, tokenizer, bool(tokenizer.chat_template), (tokenizer.eos_token_id,))
    sampler = Scripted(tokenizer, calls, **given)
    return EpisodeRollout(
        policy, sampler, rubric, WorkerPool(0), ProcessGroup(), 0, environment=environment, max_context=4000
    )


def words_of(domain: GameDomain) -> Tokenizer:
    vocabulary = domain.vocabulary(Path(), None)
    assert vocabulary is not None
    return tokenizer_from_tokens(vocabulary.tokens)


# -- ids --------------------------------------------------------------------------------------------------------------


class Patient(Lookup):
    """Says no to five questions."""

    def step(self, text: str) -> Reply:
        self.turns.append(text)
        return Reply("No.", done=len(self.turns) == 5)


class PatientEnvironment(LookupEnvironment):
    def reset(self, task: Task, seed: int) -> Patient:
        return Patient(["value 0 0 0"] * 10, 0)


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_after_five_turns_the_row_is_what_was_sampled_though_its_text_would_be_cut_differently(
    template: bool, ended: bool
) -> None:
    tokenizer = merging_tokenizer() if template else merging_tokenizer(None)
    turns = [["question: fever?"], ["question: cough?"], ["question: fever?"], ["Yes."], ["answer: A"]]
    rollout = scripted_rollout(tokenizer, turns, PatientEnvironment(), lookup.rubric(), ended=ended)
    task = Task("x", ({"role": "user", "content": "A case.\n"},), reference={})
    [episode] = rollout.play([Request(task, 1)], 0, SamplingParameters(20), "train")
    [row] = episode.rows
    seen = cast(Scripted, rollout.sampler).seen
    assert len(seen) == 5
    sampled = [completion.ids.tolist() for _, completion in seen]
    assert [segment.ids for segment in row.segments if segment.role is Role.ACTION] == sampled
    for (asked, written), (later, _) in pairwise(seen):
        before = [*asked.prompt_ids, *written.ids.tolist()]
        assert list(later.prompt_ids[: len(before)]) == before
    assert row.ids == [*seen[-1][0].prompt_ids, *sampled[-1]]
    batch = episode_batch([episode], rollout.judge([episode]), rollout.rubric.component_names, 0)
    assert batch.ids.tolist() == row.ids
    assert batch.ids[batch.action].tolist() == [token for ids in sampled for token in ids]
    # Each turn is cut as the tokenizer cuts it; only what lies across the boundaries would merge.
    again = tokenizer.encode(tokenizer.decode(row.ids), add_special_tokens=False)
    assert again != row.ids
    assert tokenizer.decode(again) == tokenizer.decode(row.ids)


# -- contexts that grow and contexts that are rebuilt -----------------------------------------------------------------


class Waged(Lookup):
    """The game in which looking up pays 0.2 and everything else nothing."""

    def rewards(self) -> tuple[float, ...]:
        return tuple(0.2 * turn.startswith("lookup") for turn in self.turns)


class Forgetful(Waged):
    """The same with a context that holds the start alone."""

    def context(self) -> Sequence[Message]:  # type: ignore[override]
        return ({"role": "user", "content": f"start {self.start}\n"},)


class WagedEnvironment(LookupEnvironment):
    def __init__(self, kind: type[Waged]) -> None:
        super().__init__()
        self.kind = kind

    def reset(self, task: Task, seed: int) -> Waged:
        reference = cast(dict[str, Any], task.reference)
        return self.kind(reference["table"], reference["start"])


def played(kind: type[Waged]) -> TrajectoryBatch:
    """Two episodes of one group: two hops and the right answer; one hop and a wrong one."""
    task = LOOKUP.tasks(Path(), "train", None)[0]
    reference = cast(dict[str, Any], task.reference)
    start, right = reference["start"], lookup.solution(reference["table"], reference["start"])
    second = reference["table"][start].removeprefix("go to ")
    wrong = "answer 0 0 0" if right != "0 0 0" else "answer 1 1 1"
    turns = [[f"lookup {start}", f"lookup {start}"], [f"lookup {second}", wrong], [f"answer {right}"]]
    rollout = scripted_rollout(words_of(LOOKUP), turns, WagedEnvironment(kind), lookup.rubric())
    return rollout.ask([Request(task, 2)], 0, SamplingParameters(8), "train")


def advantage_of_turns(batch: TrajectoryBatch, method: str) -> dict[tuple[Any, int], set[float]]:
    """Return the advantages of every turn's tokens by episode and turn."""
    transform = TurnConfig(method=method).transform()
    advantage = transform.apply(batch, AdvantageContext(0))["advantage"]
    assert bool((advantage[~batch.action] == 0).all())
    found: dict[tuple[Any, int], set[float]] = {}
    for place in batch.action.nonzero().flatten().tolist():
        name = batch.rows["trajectory"][int(batch.row_of_token[place])]
        found.setdefault((name, int(batch.turn[place])), set()).add(round(float(advantage[place]), 4))
    return found


# Outcomes 1 and 0; rewards 0.2, 0.2, 0 and 0.2, 0; returns 1.4, 1.2, 1 and 0.2, 0.
STATED = {
    "outcome": [0.7071, 0.7071, 0.7071, -0.7071, -0.7071],
    "turns": [0.6, 0.6, 0.0, -0.6, -0.6],
    # Rewards with the outcome 0.2, 0.2, 1 and 0.2, 0: mean 0.32, standard deviation 0.3899.
    "igpo": [1.1286, 1.4364, 1.7442, -1.1286, -0.8208],
    # Their mean over tokens, three of a lookup and seven of an answer, is 8.8 / 23.
    "promed": [-0.1826, -0.1826, 0.6174, -0.1826, -0.3826],
}


@pytest.mark.parametrize("method", list(STATED))
def test_one_growing_row_and_rebuilt_rows_give_the_stated_advantages(method: str) -> None:
    growing, rebuilt = played(Waged), played(Forgetful)
    assert (len(growing), len(rebuilt)) == (2, 5)
    assert growing.ids[growing.action].tolist() == rebuilt.ids[rebuilt.action].tolist()
    found = advantage_of_turns(growing, method)
    assert found == advantage_of_turns(rebuilt, method)
    assert [value for values in found.values() for value in values] == pytest.approx(STATED[method], abs=1e-4)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_after_success_no_turn_is_taken() -> None:
    layout = {"agent": [0, 0], "key": [1, 0], "door": [1, 1]}
    opening = ({"role": "user", "content": "you (0,0) key (1,0) door (1,1) hand empty\n"},)
    turns = [[action] for action in ("go east", "pick", "go north", "open", "pick", "open")]
    rollout = scripted_rollout(words_of(KEY_DOOR), turns, KeyDoorEnvironment(), key_door.rubric())
    batch = rollout.ask([Request(Task("key-door", opening, reference=layout), 1)], 0, SamplingParameters(4), "train")
    assert batch.turns["turn"].tolist() == [0, 1, 2, 3]
    assert batch.turns["done"].tolist() == [False, False, False, True]
    assert (float(batch.outcome[0]), int(batch.turn[batch.action].max())) == (1.0, 3)
    assert len(list(cast(Scripted, rollout.sampler).calls)) == 2
