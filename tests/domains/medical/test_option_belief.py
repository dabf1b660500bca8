"""The belief of a language model in the options, on a small random model."""

from __future__ import annotations

import string

import numpy as np
import pytest
import torch

from domains.medical.cohort import make_case
from domains.medical.kb import KnowledgeBase
from domains.medical.option_belief import BEGIN, OptionLogProbBelief
from domains.medical.prompts import belief_messages
from domains.medical.schema import Case
from domains.medical.shapley import fact_values
from sciRL.errors import UserError
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy, render_prompt

CHARACTERS = [*string.ascii_letters, *string.digits, *" .,:?'-\n"]


@pytest.fixture(scope="module")
def policy() -> LanguagePolicy:
    config = ModelConfig(path="tiny", hidden=16, layers=2, heads=2, kv_heads=1, mlp=32, max_length=600)
    return load_policy(config, CHARACTERS)


def all_sets(case: Case) -> np.ndarray:
    n = len(case.facts)
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def test_it_is_the_models_own_next_token_distribution(policy: LanguagePolicy, text_case: Case) -> None:
    belief = OptionLogProbBelief(policy, batch_size=5)
    sets = all_sets(text_case)
    found = belief.option_logp(text_case, sets)
    assert np.exp(found).sum(axis=1) == pytest.approx(1)
    tokenizer = policy.tokenizer
    letters = [tokenizer.encode(label, add_special_tokens=False)[0] for label in text_case.labels]
    for row in (0, 6, 15):
        facts = [fact for fact, taken in zip(text_case.facts, sets[row], strict=True) if taken]
        ids = render_prompt(tokenizer, belief_messages(text_case, facts))
        ids += tokenizer.encode(BEGIN, add_special_tokens=False)
        with torch.no_grad():
            logits = policy.model(torch.tensor([ids])).logits[0, -1]
        assert found[row] == pytest.approx(logits[letters].log_softmax(-1).numpy(), abs=1e-5)
    assert len({tuple(row.round(9)) for row in found}) == len(sets)


def test_the_options_stand_in_the_prompt_and_what_is_unknown_does_not(text_case: Case) -> None:
    """A letter means nothing to a model that was not shown the options (a fault of ProMed's released code)."""
    asked = belief_messages(text_case, text_case.facts[:2])[-1]["content"]
    assert all(f"{label}: {text}" in asked for label, text in zip(text_case.labels, text_case.options, strict=True))
    assert [fact.text in asked for fact in text_case.facts] == [True, True, False, False]


def test_batches_do_not_change_it(policy: LanguagePolicy, text_case: Case) -> None:
    sets = all_sets(text_case)
    one = OptionLogProbBelief(policy, batch_size=1).logp(text_case, sets)
    many = OptionLogProbBelief(policy, batch_size=16).logp(text_case, sets)
    assert one == pytest.approx(many, abs=1e-5)


def test_the_weights_are_frozen_and_shapley_values_add_up(policy: LanguagePolicy, text_case: Case) -> None:
    belief = OptionLogProbBelief(policy)
    assert not policy.model.training
    assert not any(weight.requires_grad for weight in policy.model.parameters())
    values = fact_values(belief, text_case)
    assert values.phi.sum() == pytest.approx(values.full - values.empty, abs=1e-6)


def test_letters_that_begin_alike_are_refused(policy: LanguagePolicy, kb: KnowledgeBase) -> None:
    case = make_case(kb, 0, 0)
    with pytest.raises(UserError, match="does not tell its 52 option letters apart"):
        OptionLogProbBelief(policy).target(case)


def test_a_prompt_that_is_too_long_is_refused(policy: LanguagePolicy, text_case: Case) -> None:
    long = Case.from_dict({**text_case.to_dict(), "question": "why? " * 200})
    with pytest.raises(UserError, match=r"case 'exam': its prompt has \d+ tokens; the model reads at most 600"):
        OptionLogProbBelief(policy).logp(long, long.known[None])
