"""Search for good consultations: exact on a small tree, every path counted once, SIG really used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from domains.medical.belief import NaiveBayesBelief
from domains.medical.cohort import make_case
from domains.medical.consultation import Consultation
from domains.medical.dialogues import is_exemplary, messages
from domains.medical.interview import Interview
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.patient import SimulatedPatient
from domains.medical.proposers import GainProposer, RandomProposer
from domains.medical.schema import Case
from domains.medical.search import Node, Path, Search, SearchSettings, search_case
from domains.medical.shapley import case_weights
from sciRL.errors import UserError

MakeCase = Callable[..., Case]
WEIGHTS = {"f1": 0.2, "f2": 0.5, "f3": 0.3}


@pytest.fixture
def search_three(three_kb: KnowledgeBase, three_case: MakeCase) -> Callable[..., Search]:
    def make(weights: dict[str, float], **settings: object) -> Search:
        patient, belief = SimulatedPatient(kb_matcher(three_kb)), NaiveBayesBelief(three_kb)
        chosen = SearchSettings(**{"budget": 2, "iterations": 60, **settings})  # type: ignore[arg-type]
        return Search(three_case(), patient, RandomProposer(three_kb), belief, weights, chosen)

    return make


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        yield from nodes(child)


@pytest.mark.parametrize("method", ["uct", "bon"])
def test_exact_on_three_facts(search_three: Callable[..., Search], method: str) -> None:
    """Two questions of three: all six orders, each worth what its facts weigh plus the answer."""
    paths = search_three(WEIGHTS, method=method).run()
    asked = {tuple(int(question[8]) for question in path.consultation.questions): path for path in paths}
    assert set(asked) == set(permutations((1, 2, 3), 2))
    for order, path in asked.items():
        gains = [WEIGHTS[f"f{number}"] for number in order]
        assert path.gains == pytest.approx(gains)
        assert path.value == pytest.approx((sum(gains) + path.consultation.correct) / 2)
    assert set(paths[0].consultation.told) == {("f2",), ("f3",)}


def test_every_path_is_backed_up_once(search_three: Callable[..., Search]) -> None:
    search = search_three(WEIGHTS, iterations=60)
    worth = {path.consultation.questions: path.value for path in search.run()}
    assert search.root.visits == 60
    for first, child in search.root.children.items():
        # Two questions make a path, so a node of depth two is passed by one path only.
        for second, leaf in child.children.items():
            assert leaf.total == pytest.approx(leaf.visits * worth[first, second])
        through = sum(leaf.total for leaf in child.children.values())
        # The path that made the child was completed by the proposer, and has a value of its own.
        assert child.total - through == pytest.approx(min(worth.values()), abs=np.ptp(list(worth.values())))
    assert search.root.total == pytest.approx(sum(child.total for child in search.root.children.values()))
    for node in nodes(search.root):
        if node.children:
            through = sum(child.visits for child in node.children.values())
            # All visits but the one that made the node go on to a child; the root was made by none.
            assert through == node.visits - (0 if node is search.root else 1)
            assert len(node.children) <= 1 + 1.5 * node.visits**0.5


def test_uct_prefers_what_weighs_most(search_three: Callable[..., Search]) -> None:
    for best in ("f1", "f2", "f3"):
        weights = {fact: 1.0 if fact == best else 0.0 for fact in WEIGHTS}
        search = search_three(weights, budget=1, iterations=90)
        paths = search.run()
        assert paths[0].gains == (1.0,)
        most = max(search.root.children, key=lambda question: search.root.children[question].visits)
        assert most == f"Is sign {best[1]} there?"


def test_searches_are_reproducible_and_seeded(search_three: Callable[..., Search]) -> None:
    first = [path.consultation.questions for path in search_three(WEIGHTS, iterations=3).run()]
    assert first == [path.consultation.questions for path in search_three(WEIGHTS, iterations=3).run()]
    others = [
        [p.consultation.questions for p in search_three(WEIGHTS, iterations=3, seed=s).run()] for s in range(1, 6)
    ]
    assert any(first != other for other in others)


def test_confidence_ends_a_path_early(search_three: Callable[..., Search]) -> None:
    lengths = {len(path.gains) for path in search_three(WEIGHTS, budget=3, confidence=0.7).run()}
    assert lengths == {1, 2}
    assert {len(path.gains) for path in search_three(WEIGHTS, budget=3).run()} == {3}


class Nothing:
    """Has no question to ask."""

    def propose(self, consultation: Consultation, count: int, rng: np.random.Generator) -> Sequence[str]:
        return []


def test_a_proposer_without_questions_gives_an_answer_at_once(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    for method in ("uct", "bon"):
        settings = SearchSettings(method=method, iterations=3)  # type: ignore[arg-type]
        patient, belief = SimulatedPatient(kb_matcher(three_kb)), NaiveBayesBelief(three_kb)
        paths = search_case(three_case(), patient, Nothing(), belief, WEIGHTS, settings)
        assert [path.consultation.questions for path in paths] == [()]
        assert not any(is_exemplary(path.consultation) for path in paths)


def search_embedded(kb: KnowledgeBase, index: int, **settings: object) -> list[Path]:
    case, belief = make_case(kb, index, 0, min_present=3), NaiveBayesBelief(kb)
    chosen = SearchSettings(**{"budget": 5, "iterations": 20, **settings})  # type: ignore[arg-type]
    patient = SimulatedPatient(kb_matcher(kb))
    return search_case(case, patient, GainProposer(kb), belief, case_weights(belief, case), chosen)


def test_uct_is_not_worse_than_best_of_n(kb: KnowledgeBase) -> None:
    value = {
        method: np.mean([search_embedded(kb, index, method=method)[0].value for index in range(12)])
        for method in ("uct", "bon")
    }
    assert value["uct"] >= value["bon"] - 0.05


def test_paths_completed_with_the_first_suggestion_differ_by_the_tree_alone(kb: KnowledgeBase) -> None:
    first = search_embedded(kb, 3, completion="first", iterations=8)
    proposer, patient = GainProposer(kb), SimulatedPatient(kb_matcher(kb))
    interview = Interview(make_case(kb, 3, 0, min_present=3), patient, 5)
    for _ in range(5):
        interview.step(f"question: {proposer.propose(interview.record, 1, np.random.default_rng(0))[0]}")
    assert interview.record.questions in {path.consultation.questions for path in first}
    with pytest.raises(UserError, match="makes all paths of method='bon' equal"):
        SearchSettings(method="bon", completion="first")


def test_proposals_are_new_and_ordered_by_gain(kb: KnowledgeBase) -> None:
    case = make_case(kb, 1, 0)
    record = Consultation(case, 10)
    best = list(GainProposer(kb).propose(record, 5, np.random.default_rng(0)))
    assert len(set(best)) == 5
    random = RandomProposer(kb).propose(record, 500, np.random.default_rng(0))
    assert len(random) == len(kb.findings) - 1
    known = kb.findings[kb.finding_index[case.known_ids[0]]].question
    assert known not in random
    assert best[0] in random


def test_dialogues_are_what_a_doctor_reads_and_writes(kb: KnowledgeBase) -> None:
    paths = next(found for index in range(9) if (found := search_embedded(kb, index))[0].consultation.correct)
    best = next(path for path in paths if is_exemplary(path.consultation))
    said = list(messages(best.consultation))
    assert [message["role"] for message in said] == [*["assistant", "user"] * 5, "assistant"]
    assert said[-1]["content"] == f"answer: {best.consultation.case.answer}"
    assert len(best.gains) == 5
    assert said[1]["content"].endswith("(4 questions left)")
    assert said[-2]["content"].endswith("(no question left: answer now)")
    assert len(np.unique(best.consultation.knowledge, axis=0)) == 6
    interview = Interview(best.consultation.case, SimulatedPatient(kb_matcher(kb)), best.consultation.budget)
    read = [interview.step(message["content"]) for message in said if message["role"] == "assistant"]
    assert read[:-1] == [message["content"] for message in said if message["role"] == "user"]


def test_only_right_paths_without_repeats_are_exported(search_three: Callable[..., Search]) -> None:
    path = search_three(WEIGHTS).run()[0]
    assert is_exemplary(path.consultation)
    first, second, answer = path.consultation.turns
    repeated = replace(path.consultation, turns=(first, first, answer))
    wrong = replace(path.consultation, turns=(first, second, replace(answer, choice="B")))
    unasked = replace(path.consultation, turns=(answer,))
    assert not any(map(is_exemplary, (repeated, wrong, unasked)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "beam"}, "search method='beam'; allowed: uct, bon"),
        ({"iterations": 0}, "search iterations=0; at least 1"),
        ({"confidence": 0.0}, "confidence=0"),
        ({"exploration": -1.0}, "exploration=-1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SearchSettings(**settings)  # type: ignore[arg-type]
