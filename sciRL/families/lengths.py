"""What texts need of a model's context: answers as long as the demonstrations, and prompts that leave them room."""

from __future__ import annotations

from collections.abc import Sequence

from sciRL.domain import Demonstration
from sciRL.errors import UserError
from sciRL.models.loading import LanguagePolicy
from sciRL.task import Task

ROUNDED_TO = 64
"""Limits taken from demonstrations are a multiple of this, which leaves all but the longest some room."""
_COUNTED = 32
"""So many of the texts with the most characters are counted in tokens."""


def answer_limit(policy: LanguagePolicy, demonstrations: Sequence[Demonstration]) -> int:
    """Return the tokens that the longest demonstrated answer takes with its end, rounded up to a multiple of 64.

    Example: answers of 30, 41 and 49 tokens give 64.
    """
    texts = {text for item in demonstrations for text in (item.answer, *(answer for answer, _ in item.earlier))}
    longest = sorted(texts, key=lambda text: (-len(text), text))[:_COUNTED]
    tokens = max((len(policy.encode_answer(text)) for text in longest), default=1)
    return -(-tokens // ROUNDED_TO) * ROUNDED_TO


def demand_room(policy: LanguagePolicy, tasks: Sequence[Task], limit: int, where: str) -> None:
    """Raise `UserError` when a prompt and an answer of `limit` tokens exceed the model's context.

    Args:
        where: the section that the limit stands in, for the message.
    """
    longest = sorted(tasks, key=lambda task: (-len(task.text), task.id))[:_COUNTED]
    prompt = max((len(policy.render(task.prompt, task.images)) for task in longest), default=0)
    if prompt + limit > policy.max_context:
        raise UserError(
            f"{where}.max_new_tokens is {limit} and prompts have up to {prompt} tokens, but the model's context has "
            f"{policy.max_context}: at most {max(0, policy.max_context - prompt)} fit behind them; a model from "
            "scratch has as much context as model.max_length says"
        )
