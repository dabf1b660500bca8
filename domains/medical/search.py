"""Search for good consultations of a case: best-of-N, and Monte Carlo tree search over questions.

Research software, not medical advice.

A path is a sequence of questions with the patient's replies and an answer; it is worth

    return = (sum of SIG over its questions + 1 if the answer is right) / 2, in [0, 1]

Tree search (UCT): a node is a sequence of questions. An iteration walks down by
mean return + 0.3 sqrt(ln parent visits / visits), adds one child where fewer than min(8, 1 + 1.5 sqrt(visits))
exist, completes the path with the proposer's questions, and adds its return once to every node it went through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Literal, Protocol

import numpy as np

from domains.medical.assessment import sig_of_turns
from domains.medical.belief import OptionBelief
from domains.medical.consultation import Consultation
from domains.medical.interview import Interview
from domains.medical.patient import Patient
from domains.medical.schema import Case, FloatArray
from sciRL.errors import UserError
from sciRL.seeding import request_seed


class Proposer(Protocol):
    """Suggests questions: a policy's samples, or a knowledge base's best."""

    def propose(self, consultation: Consultation, count: int, rng: np.random.Generator) -> Sequence[str]:
        """Return up to `count` distinct questions worth asking next, best first; none when there is nothing to ask."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """How a search is done.

    Attributes:
        method: "uct" (tree search) or "bon" (best of N independent paths).
        iterations: paths that are tried, for either method.
        budget: questions in a path.
        width: most questions tried at one point, and how many the proposer is asked for.
        exploration: weight of the exploration term, for returns in [0, 1].
        confidence: belief in an option from which a path answers before the budget is used; 1 asks to the end.
        completion: a path is completed with any of the proposer's suggestions, each equally likely, or with its first:
            returns are higher with any (luck is kept), questions easier to imitate with the first.
        seed: of the search; together with the case's id it fixes everything.
    """

    method: Literal["uct", "bon"] = "uct"
    iterations: int = 40
    budget: int = 10
    width: int = 8
    exploration: float = 0.3
    confidence: float = 1.0
    completion: Literal["any", "first"] = "any"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("uct", "bon"):
            raise UserError(f"search method={self.method!r}; allowed: uct, bon")
        if self.completion not in ("any", "first"):
            raise UserError(f"search completion={self.completion!r}; allowed: any, first")
        if self.completion == "first" and self.method == "bon":
            raise UserError("search completion='first' makes all paths of method='bon' equal; allowed there: any")
        for name in ("iterations", "budget", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"search {name}={getattr(self, name)}; at least 1 is needed")
        if self.exploration < 0 or not 0 < self.confidence <= 1:
            raise UserError(
                f"search exploration={self.exploration}, confidence={self.confidence}; "
                "allowed: at least 0, and above 0 up to 1"
            )


@dataclass(frozen=True)
class Path:
    """A finished consultation that was found, the SIG of each question, and its return in [0, 1]."""

    consultation: Consultation
    gains: tuple[float, ...]
    value: float


@dataclass
class Node:
    """A sequence of questions: how often it was passed, the sum of returns, what was tried next, what may be."""

    visits: int = 0
    total: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)
    untried: list[str] | None = None

    @property
    def mean(self) -> float:
        """Mean return of the paths that passed."""
        return self.total / self.visits if self.visits else 0.0


def search_case(
    case: Case,
    patient: Patient,
    proposer: Proposer,
    belief: OptionBelief,
    weights: Mapping[str, float],
    settings: SearchSettings,
) -> list[Path]:
    """Return the distinct paths that a search found for a case, best first.

    Args:
        case: the patient.
        patient: answers the questions.
        proposer: suggests them.
        belief: answers at the end of a path, from what was learned.
        weights: Shapley weight of each fact by id (`shapley.case_weights`): what questions are worth.
        settings: how to search.
    """
    return Search(case, patient, proposer, belief, weights, settings).run()


class Search:
    """One search; `root` is its tree once `run` has returned."""

    def __init__(
        self,
        case: Case,
        patient: Patient,
        proposer: Proposer,
        belief: OptionBelief,
        weights: Mapping[str, float],
        settings: SearchSettings,
    ) -> None:
        self.case, self.patient, self.proposer, self.belief = case, patient, proposer, belief
        self.weights, self.settings = weights, settings
        self.root = Node()
        self.rng = np.random.default_rng(request_seed(settings.seed, case.id))

    def run(self) -> list[Path]:
        """Return the distinct paths of all iterations, best first."""
        found: dict[tuple[str, ...], Path] = {}
        for _ in range(self.settings.iterations):
            path = self._walk() if self.settings.method == "uct" else self._complete(self._begin())
            found.setdefault(path.consultation.questions, path)
        return sorted(found.values(), key=lambda path: (-path.value, path.consultation.questions))

    def _begin(self) -> Interview:
        return Interview(self.case, self.patient, self.settings.budget)

    def _walk(self) -> Path:
        """Do one iteration of tree search."""
        interview, node = self._begin(), self.root
        passed = [node]
        while not self._finished(interview.record):
            question, is_new = self._descend(node, interview.record)
            if question is None:
                break
            _ask(interview, question)
            node = node.children[question]
            passed.append(node)
            if is_new:
                break
        path = self._complete(interview)
        # The questions that complete a path are no nodes yet; everything else is updated exactly once.
        for node in passed:
            node.visits += 1
            node.total += path.value
        return path

    def _descend(self, node: Node, record: Consultation) -> tuple[str | None, bool]:
        """Return the next question from a node and whether it is a new child; None when nothing can be asked."""
        if node.untried is None:
            node.untried = list(self.proposer.propose(record, self.settings.width, self.rng))
        allowed = min(self.settings.width, 1 + int(1.5 * sqrt(node.visits)))
        if node.untried and len(node.children) < allowed:
            question = node.untried.pop(0)
            node.children[question] = Node()
            return question, True
        if not node.children:
            return None, False
        return max(node.children, key=lambda question: self._bound(node, node.children[question])), False

    def _bound(self, parent: Node, child: Node) -> float:
        return child.mean + self.settings.exploration * sqrt(log(max(1, parent.visits)) / max(1, child.visits))

    def _complete(self, interview: Interview) -> Path:
        """Ask the proposer's questions until the end, any of them or always the first, and answer."""
        while not self._finished(interview.record):
            questions = self.proposer.propose(interview.record, self.settings.width, self.rng)
            if not questions:
                break
            place = int(self.rng.integers(len(questions))) if self.settings.completion == "any" else 0
            _ask(interview, questions[place])
        interview.step(f"answer: {self._answer(interview.record)}")
        gains = sig_of_turns(interview.record, self.weights)
        return Path(interview.record, tuple(gains), (min(1.0, sum(gains)) + interview.record.correct) / 2)

    def _finished(self, record: Consultation) -> bool:
        if len(record.asking) >= self.settings.budget:
            return True
        return self.settings.confidence < 1 and float(np.exp(self._belief(record)).max()) >= self.settings.confidence

    def _answer(self, record: Consultation) -> str:
        return self.case.labels[int(self._belief(record).argmax())]

    def _belief(self, record: Consultation) -> FloatArray:
        logp: FloatArray = self.belief.option_logp(self.case, record.knowledge[-1:])[0]
        return logp


def _ask(interview: Interview, question: str) -> None:
    interview.step(f"question: {question}")
    if interview.record.failure is not None:
        raise UserError(
            f"case {interview.record.case.id!r}: the patient failed in a search: {interview.record.failure}"
        )
