"""Token strings of compact consultations over a knowledge base: a question, a name, a reply are one token each.

Research software, not medical advice.
"""

from __future__ import annotations

import string

from domains.medical.answers import BEGIN
from domains.medical.interview import REMINDER
from domains.medical.kb import KnowledgeBase
from domains.medical.patient import CANNOT_ANSWER, DONT_KNOW, ONE_AT_A_TIME
from domains.medical.prompts import reply_text


def consultation_tokens(kb: KnowledgeBase, budget: int) -> tuple[str, ...]:
    """Return the token strings of a model made from scratch: all that is said, and single characters for the rest."""
    left = [reply_text("", count) for count in range(budget + 1)]
    said = ["Known: ", "Option: ", "question: ", BEGIN, " Yes.", " No.", "Yes.", "No."]
    fixed = [ONE_AT_A_TIME, CANNOT_ANSWER, DONT_KNOW, REMINDER]
    names = [disease.name for disease in kb.diseases]
    questions = [finding.question for finding in kb.findings]
    return tuple(dict.fromkeys([*said, *fixed, *left, *questions, *names, *string.printable]))
