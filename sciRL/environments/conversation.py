"""Conversation: an episode of several turns in which a language model writes and an environment replies.

    episode = environment.reset(task, seed)         # the policy reads the task's prompt first
    reply = episode.step("question: any fever?")    # what the policy wrote; reply.text is what it reads next
    record = episode.record()                       # once reply.done: the answer that the domain's rubric judges

The outcome of an episode is the rubric's verdict on its record, as for a single answer: pure, through the same worker
pool, with the same statuses. What the turns themselves earned is asked for when it has ended, as it may depend on how.

The policy's context grows: every reply is appended to what it has read and written, and what it wrote is never
tokenised again. An episode whose context is not the whole history (a summary, a moving window) returns it from
`context`; then every turn has its own prompt, and one trajectory is several rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sciRL.score import Status
from sciRL.task import Message, Task


@dataclass(frozen=True)
class Reply:
    """What a turn led to.

    Attributes:
        text: what the policy reads next; not read when `done`.
        done: whether the episode has ended.
        state_key: names the state in which the turn was taken, for credit assignment that compares like states.
        action_key: names what the turn did, likewise.
        status: `timeout` or `error` when the environment itself failed: the episode is masked, never scored 0.
        info: what a report shows of the turn (JSON-compatible).
    """

    text: str = ""
    done: bool = False
    state_key: str = ""
    action_key: str = ""
    status: Status = Status.OK
    info: Mapping[str, Any] = field(default_factory=dict)


class Conversation(Protocol):
    """One episode."""

    def step(self, text: str) -> Reply:
        """Take one turn's text, whatever it is, and return the reply; never raises on a text."""
        ...

    def context(self) -> Sequence[Message] | None:
        """Return the messages of a rebuilt context for the next turn, or None when the context just grows."""
        ...

    def rewards(self) -> Sequence[float]:
        """Return what each turn taken earned itself, finite numbers, once the episode has ended.

        The outcome is not part of it; empty when turns earn nothing.
        """
        ...

    def record(self) -> str:
        """Return the finished episode as the text that a rubric judges and a person reads."""
        ...


class ConversationEnvironment(Protocol):
    """Makes episodes of tasks; `max_turns` bounds every one of them."""

    max_turns: int

    def reset(self, task: Task, seed: int) -> Conversation:
        """Return a new episode; all its randomness comes from `seed`."""
        ...

    def target(self, task: Task) -> tuple[str, str] | None:
        """Return the text that would begin a forced answer and the right answer after it, for belief probes.

        Example: `("answer: ", "B")`. None where there is no single right answer.
        """
        ...
