"""A context grows by ids: what was sampled stays as it was, with or without a chat template."""

from __future__ import annotations

import pytest
from chat_model import merging_tokenizer

from sciRL.errors import UserError
from sciRL.models.loading import render_prompt
from sciRL.models.tiny import tokenizer_from_tokens
from sciRL.rollout.continuation import continuation_ids

FORGETFUL = (
    "{% for m in messages %}{% if m.role != 'assistant' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("ended", [True, False])
def test_a_grown_context_reads_as_the_template_would_write_it(ended: bool) -> None:
    tokenizer = merging_tokenizer()
    eos = tokenizer.eos_token_id
    asked = [{"role": "user", "content": "A case."}]
    written = tokenizer.encode("question: fever?", add_special_tokens=False) + ([eos] if ended else [])
    grown = [*render_prompt(tokenizer, asked), *written, *continuation_ids(tokenizer, "No.", ended, [eos])]
    history = [*asked, {"role": "assistant", "content": "question: fever?"}, {"role": "user", "content": "No."}]
    assert tokenizer.decode(grown) == tokenizer.apply_chat_template(history, add_generation_prompt=True, tokenize=False)
    assert grown[len(render_prompt(tokenizer, asked)) :][: len(written)] == written


def test_the_sampled_ids_stay_where_the_whole_text_would_be_cut_differently() -> None:
    tokenizer = merging_tokenizer()
    eos = tokenizer.eos_token_id
    prompt = render_prompt(tokenizer, [{"role": "user", "content": "A case."}])
    letters = [tokenizer.encode(letter, add_special_tokens=False)[0] for letter in "question: fever?"]
    assert letters != tokenizer.encode("question: fever?", add_special_tokens=False)
    ids = list(prompt)
    for _ in range(5):
        ids += [*letters, eos, *continuation_ids(tokenizer, "No.", True, [eos])]
    again = tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False)
    assert again != ids
    assert ids[len(prompt) : len(prompt) + len(letters)] == letters


def test_a_template_that_rewrites_history_is_refused() -> None:
    tokenizer = merging_tokenizer(FORGETFUL)
    with pytest.raises(UserError, match="rewrites earlier turns"):
        continuation_ids(tokenizer, "No.", True, [tokenizer.eos_token_id])


def test_without_a_template_the_reply_is_a_line() -> None:
    tokenizer = tokenizer_from_tokens(["No.", "\n", "A"])
    assert tokenizer.decode(continuation_ids(tokenizer, "No.", True, [tokenizer.eos_token_id])) == "No.\n"
    assert continuation_ids(tokenizer, "No.", False, [tokenizer.eos_token_id])[0] == tokenizer.eos_token_id
