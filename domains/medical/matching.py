"""Which finding a question asks for: by its id or wording, by an alias, or by the words they share.

Research software, not medical advice.

==================================================  ============================================
question (embedded knowledge base)                  keys
==================================================  ============================================
``fever`` or ``Have you had a fever?``              fever (exact)
``Have you been throwing up?``                      vomiting (alias)
``Are you coughing up any phlegm?``                 sputum (words)
``Do you have a fever and chills?``                 fever, rigors: not atomic
``Do you have pain?``                               many: too vague, not atomic
``What is your favourite colour?``                  none
==================================================  ============================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Literal, TypeAlias

from domains.medical.kb import KnowledgeBase
from domains.medical.schema import Case, normalised

Similarity: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
How: TypeAlias = Literal["exact", "alias", "words", "similarity", "none"]

LONGEST_QUESTION = 400
"""Characters; what is longer is matched with nothing."""

_REMEMBERED = 10_000
_WORD = re.compile(r"[a-z0-9]+")
_JOINT = re.compile(r"[?;,]|\band\b|\bor\b", re.IGNORECASE)
_SUFFIXES = ("iness", "ness", "ies", "ing", "ed", "es", "ly", "s", "e", "y")
_STOP_WORDS = frozenset(
    _WORD.findall("""
    a about after all an and any are as at be been being by can complain complains could did do does doctor ever
    experience experienced experiencing feel feeling felt for from get getting go goes had has have having her him his
    how i if in into is it its lately me more much my of often on or our patient patients please recent recently she he
    so some start started symptom symptoms tell than that the their them there they this time to up usual usually very
    was were what when where which while who with would you your notice noticed one reports report history""")
)
_SYNONYMS = {
    word: names[0]
    for names in (
        ("urine", "pee", "peeing", "urinate", "urinating"),
        ("phlegm", "sputum"),
        ("fever", "temperature"),
        ("belly", "stomach", "tummy", "abdomen"),
    )
    for word in names
}
"""Everyday words that mean the same, each by the first of its line."""


@dataclass(frozen=True)
class Topic:
    """Something that can be asked for: its key, its question or statement, and other words for it."""

    key: str
    text: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """The keys that a question asks for (several: it is not atomic) and how they were found."""

    keys: tuple[str, ...]
    how: How


class QuestionMatcher:
    """Matches questions with topics; equal questions always match alike.

    Args:
        topics: what can be asked for.
        threshold: least similarity of a match, in [0, 1].
        vague: what a question does that fits several topics equally well: "all" of them (it is not atomic), or the
            "first" of them.
        similarity: similarity of a text to each of the topics' texts (an embedding or a language model), instead of
            shared words.
    """

    def __init__(
        self,
        topics: Sequence[Topic],
        threshold: float = 0.6,
        vague: Literal["all", "first"] = "all",
        similarity: Similarity | None = None,
    ) -> None:
        self.topics = tuple(topics)
        self.threshold = threshold
        self.vague = vague
        self.similarity = similarity
        self._matched: dict[str, Match] = {}
        self._exact: dict[str, str] = {}
        for topic in self.topics:
            for wording in (topic.key, topic.text, *topic.aliases):
                self._exact.setdefault(normalised(wording), topic.key)
        self._aliases = [(_words(alias), topic.key) for topic in self.topics for alias in topic.aliases]
        self._words = [frozenset(_content(topic.text)) for topic in self.topics]
        self._names = [frozenset(_content(topic.key)) for topic in self.topics]
        self._rarity = _rarity(self._words)

    def match(self, question: str) -> Match:
        """Return what a question asks for; any text is allowed."""
        if len(question) > LONGEST_QUESTION:
            return Match((), "none")
        if question not in self._matched:
            if len(self._matched) >= _REMEMBERED:
                self._matched.clear()
            self._matched[question] = self._match(question)
        return self._matched[question]

    def _match(self, question: str) -> Match:
        exact = self._exact.get(normalised(question))
        if exact is not None:
            return Match((exact,), "exact")
        found: dict[str, How] = {}
        for clause in _JOINT.split(question):
            keys, how = self._match_clause(clause)
            for key in keys:
                found.setdefault(key, how)
        hows = set(found.values())
        how = hows.pop() if len(hows) == 1 else "words" if hows else "none"
        return Match(tuple(found), how)

    def _match_clause(self, clause: str) -> tuple[list[str], How]:
        aliased = self._by_alias(_words(clause))
        if aliased:
            return aliased, "alias"
        if self.similarity is not None:
            return self._by_similarity(clause), "similarity"
        asked = frozenset(_content(clause))
        return self._by_words(asked) or self._by_name(asked), "words"

    def _by_alias(self, words: list[str]) -> list[str]:
        hits = [(alias, key) for alias, key in self._aliases if _contains(words, alias)]
        # "swollen face" inside a longer alias of another topic is not a second thing asked for.
        longest = [
            key
            for alias, key in hits
            if not any(len(other) > len(alias) and _contains(other, alias) for other, _ in hits)
        ]
        return list(dict.fromkeys(longest))

    def _by_similarity(self, clause: str) -> list[str]:
        if self.similarity is None or not _content(clause):
            return []
        scores = list(self.similarity(clause.strip(), [topic.text for topic in self.topics]))
        best = max(range(len(scores)), key=scores.__getitem__)
        return [self.topics[best].key] if scores[best] >= self.threshold else []

    def _by_name(self, asked: frozenset[str]) -> list[str]:
        """Return the topics whose key stands in a question: "Do you have palpitations?" asks for `palpitations`."""
        keys = [topic.key for topic, name in zip(self.topics, self._names, strict=True) if name and name <= asked]
        return keys[:1] if self.vague == "first" else keys

    def _by_words(self, asked: frozenset[str]) -> list[str]:
        if not asked:
            return []
        hits: list[tuple[float, float, bool, str]] = []
        for topic, words in zip(self.topics, self._words, strict=True):
            shared = asked & words
            if not shared:
                continue
            weight = self._weight(shared)
            score = weight / min(self._weight(asked), self._weight(words))
            if score >= self.threshold:
                hits.append((score, weight, words <= asked, topic.key))
        if not hits:
            return []
        # A bare "cough" means the topic that says no more than that, not "coughing up blood".
        best = max(hits)[:3]
        keys = [hit[3] for hit in hits if hit[:3] == best]
        return keys[:1] if self.vague == "first" else keys

    def _weight(self, words: frozenset[str]) -> float:
        unseen = log(1 + 2 * len(self.topics))
        # Summed in a fixed order: equal sets must give equal floats.
        return sum(self._rarity.get(word, unseen) for word in sorted(words))


def kb_matcher(kb: KnowledgeBase, similarity: Similarity | None = None, threshold: float = 0.6) -> QuestionMatcher:
    """Return the matcher of a knowledge base's findings; a question that fits several is not atomic."""
    topics = [Topic(finding.id, finding.question, finding.aliases) for finding in kb.findings]
    return QuestionMatcher(topics, threshold, "all", similarity)


@lru_cache(maxsize=256)
def case_matcher(case: Case) -> QuestionMatcher:
    """Return the matcher of a case's own facts; of several that fit equally well the first is meant."""
    return QuestionMatcher([Topic(key, fact.text) for key, fact in case.by_key.items()], vague="first")


def shared_weight(fact: str, reply: str) -> float:
    """Return which share of a fact's content words stands in a reply, in [0, 1]; 1 for a fact without any."""
    words = set(_content(fact))
    return len(words & set(_content(reply))) / len(words) if words else 1.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _content(text: str) -> list[str]:
    return [_stem(_SYNONYMS.get(word, word)) for word in _words(text) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return _stem(word.removesuffix(suffix))
    return word


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    return any(list(words[start : start + len(part)]) == list(part) for start in range(len(words) - len(part) + 1))


def _rarity(sets: Sequence[frozenset[str]]) -> dict[str, float]:
    """Return log(1 + topics / topics with the word): a word that many topics share says little."""
    counts: dict[str, int] = {}
    for words in sets:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    return {word: log(1 + len(sets) / count) for word, count in counts.items()}
