"""How an environment's reply is appended to a context: as ids of its own, without tokenising what was sampled again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from sciRL.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ASKED, _WRITTEN, _REPLY = "asked-5f1c", "written-7a2e", "reply-9d40"


def continuation_ids(tokenizer: PreTrainedTokenizerBase, reply: str, ended: bool, eos_ids: Sequence[int]) -> list[int]:
    """Return the ids that lead from the end of a sampled turn to the beginning of the next one.

    With a chat template they are what the template writes between two turns of the assistant around a user's message;
    without, the reply and a newline. A turn that was cut at the length limit (`ended` False) is closed first.

    Raises:
        UserError: the chat template rewrites earlier turns when a conversation goes on, so that a context cannot grow.

    Example: for ChatML after a sampled `<|im_end|>` these are the ids of
    `\\n<|im_start|>user\\nNo.<|im_end|>\\n<|im_start|>assistant\\n`.
    """
    if tokenizer.chat_template:
        before, after, closing = _template_parts(tokenizer, int(eos_ids[0]))
        text = ("" if ended else closing) + before + reply + after
    else:
        text = reply + "\n"
    ids = tokenizer.encode(text, add_special_tokens=False)
    if not tokenizer.chat_template and not ended:
        ids = [int(eos_ids[0]), *ids]
    return [int(token) for token in ids]


@lru_cache(maxsize=8)
def _template_parts(tokenizer: PreTrainedTokenizerBase, eos_id: int) -> tuple[str, str, str]:
    """Return what stands between a turn's end and the reply, between the reply and the next turn, and the end mark."""
    history = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _WRITTEN}]
    prompt = _render(tokenizer, history[:1], generate=True)
    longer = _render(tokenizer, [*history, {"role": "user", "content": _REPLY}], generate=True)
    end = tokenizer.convert_ids_to_tokens(eos_id)
    grown = longer.startswith(prompt) and longer[len(prompt) :].startswith(_WRITTEN)
    rest = longer[len(prompt) + len(_WRITTEN) :] if grown else ""
    if not grown or rest.count(_REPLY) != 1 or not isinstance(end, str) or not rest.lstrip().startswith(end):
        raise UserError(
            "the model's chat template rewrites earlier turns when a conversation goes on, so its context cannot grow; "
            "use an environment that rebuilds the context of every turn, or another template"
        )
    closing, _, rest = rest.partition(end)
    before, _, after = rest.partition(_REPLY)
    return before, after, closing + end


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], generate: bool) -> str:
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
    assert isinstance(text, str)
    return text
