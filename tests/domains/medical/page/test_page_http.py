"""The page's app over HTTP: what a visitor is told and when, and which requests are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domains.medical.assessment import sig_of_turns
from domains.medical.belief import NaiveBayesBelief
from domains.medical.cohort import make_case
from domains.medical.datasets import build
from domains.medical.doctors import KB_DOCTORS, KbDoctor, play
from domains.medical.interview import Interview
from domains.medical.kb import EMBEDDED, KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.options import EndpointOptions, MedicalOptions
from domains.medical.page.app import LONGEST_TEXT, make_app
from domains.medical.page.guard import MOST_BYTES
from domains.medical.page.session import MOST_SESSIONS
from domains.medical.patient import SimulatedPatient
from domains.medical.rows import KbRow, load_cases
from domains.medical.schema import Case
from domains.medical.shapley import case_weights
from domains.medical.vocabulary import consultation_tokens
from sciRL.errors import UserError
from sciRL.models.loading import ModelConfig, load_policy, save_policy

Visit = Callable[..., Any]

QUESTIONS = (
    "Have you had a fever?",
    "Do you have a cough?",
    "high temperature?",
    "Is it influenza?",
    "fever and cough",
)
MARKS = (
    [],
    [],
    ["repeated: asked before or known from the start"],
    ["invalid: nothing the patient could know is asked for", "names a diagnosis"],
    ["invalid: several things are asked for: fever, cough"],
)


@pytest.fixture
def twins(tmp_path: Path, kb: KnowledgeBase) -> Path:
    """Two patients who differ in their disease alone, and know of neither fever nor cough."""
    case = next(
        case for case in (make_case(kb, i, 0) for i in range(20)) if {"fever", "cough"}.isdisjoint(case.known_ids)
    )
    row = KbRow.of(kb, case)
    other = next(disease.id for disease in kb.diseases if disease.id != row.disease)
    rows = [row, replace(row, id="another", disease=other)]
    (tmp_path / "test.jsonl").write_text("".join(f"{row.to_json()}\n" for row in rows), encoding="utf-8")
    (tmp_path / "kb.txt").write_bytes(EMBEDDED.read_bytes())
    return tmp_path


def test_nothing_tells_the_diagnosis_before_the_end(twins: Path, visit: Visit) -> None:
    told: list[list[dict[str, Any]]] = []
    for number in (1, 2):
        visitor = visit(twins)
        seen = [visitor.call("begin", patient=number, doctor="me")]
        seen += [visitor.call("ask", question=question) for question in QUESTIONS]
        assert [turn["marks"] for turn in seen[-1]["turns"]] == list(MARKS)
        assert {turn["gain"] for turn in seen[-1]["turns"]} == {None}
        told.append([{**state, "patient": 0} for state in seen])
        end = visitor.call("answer", option="B")
        assert {turn["gain"] is None for turn in end["turns"][:-1]} == {False}
        told[-1].append(end)
    assert told[0][:-1] == told[1][:-1]
    assert told[0][-1]["review"]["truth"] != told[1][-1]["review"]["truth"]


def test_the_review_is_that_of_the_modules(kb_folder: Path, kb: KnowledgeBase, visit: Visit) -> None:
    visitor = visit(kb_folder)
    case = load_cases(kb_folder, "test")[1]
    visitor.call("begin", patient=2, doctor="me")
    visitor.call("ask", question=kb.findings[3].question)
    end = visitor.call("answer", option=case.answer)
    found = end["review"]
    belief = NaiveBayesBelief(kb)
    weights = case_weights(belief, case)
    assert end["done"]
    assert (found["outcome"], found["truth"]["text"], found["case"]) == ("right", case.answer_text, case.id)
    told = {*case.known_ids, kb.findings[3].id}
    largest = sorted((weight for fact, weight in weights.items() if fact not in told), reverse=True)[:5]
    assert [fact["weight"] for fact in found["missed"]] == pytest.approx(largest)
    assert found["learned"] == pytest.approx(weights.get(kb.findings[3].id, 0.0))
    assert end["turns"][0]["gain"] == pytest.approx(found["learned"])
    record = play(
        Interview(case, SimulatedPatient(kb_matcher(kb))), KbDoctor(kb, confidence=MedicalOptions().confidence)
    )
    assert [turn["text"] for turn in found["greedy"]["turns"]] == list(record.questions)
    assert found["greedy"]["outcome"] == ("right" if record.correct else "wrong")
    assert found["greedy"]["learned"] == pytest.approx(sum(sig_of_turns(record, weights)))
    assert set(found["red_flags"]) == {"coverage"}


def test_beliefs_are_the_six_largest_and_move(kb_folder: Path, kb: KnowledgeBase, visit: Visit) -> None:
    visitor = visit(kb_folder)
    first = visitor.call("begin", patient="next", doctor="me")["belief"]
    assert len(first) == 6
    assert [bar["p"] for bar in first] == sorted((bar["p"] for bar in first), reverse=True)
    assert all(bar["p"] == bar["before"] for bar in first)
    second = visitor.call("ask", question="Have you had a fever?")["belief"]
    before = {bar["label"]: bar["p"] for bar in first}
    assert all(bar["before"] == before[bar["label"]] for bar in second if bar["label"] in before)
    assert any(bar["p"] != bar["before"] for bar in second)


@pytest.mark.parametrize("doctor", KB_DOCTORS)
def test_watching_is_what_the_doctor_does_alone(doctor: str, kb_folder: Path, kb: KnowledgeBase, visit: Visit) -> None:
    visitor = visit(kb_folder, budget=3, confidence=1.0)
    assert visitor.opened["doctors"] == ["me", *KB_DOCTORS]
    state = visitor.call("begin", patient=3, doctor=doctor)
    while not state["done"]:
        state = visitor.call("step")
    case = load_cases(kb_folder, "test")[2]
    record = play(Interview(case, SimulatedPatient(kb_matcher(kb)), 3), KbDoctor(kb, doctor, confidence=1.0))
    assert [turn["text"] for turn in state["turns"]] == [turn.content for turn in record.turns]
    assert state["turns"][-1]["choice"]["label"] == record.choice
    assert state["review"]["outcome"] == ("right" if record.correct else "wrong")


def test_gains_are_told_at_once_while_watching(kb_folder: Path, visit: Visit) -> None:
    visitor = visit(kb_folder)
    visitor.call("begin", patient=1, doctor="fixed order")
    state = visitor.call("step")
    assert not state["done"]
    assert isinstance(state["turns"][0]["gain"], float)


def test_patients_come_in_turn_and_by_chance(kb_folder: Path, visit: Visit) -> None:
    visitor = visit(kb_folder)
    assert visitor.opened["patients"] == 4
    assert [visitor.call("begin", patient="next", doctor="me")["patient"] for _ in range(5)] == [1, 2, 3, 4, 1]
    drawn = {visitor.call("begin", patient="random", doctor="me")["patient"] for _ in range(60)}
    assert drawn == {1, 2, 3, 4}


def test_cases_without_a_table_are_played_by_a_person(text_folder: Path, visit: Visit, text_case: Case) -> None:
    visitor = visit(text_folder, budget=1)
    assert (visitor.opened["doctors"], visitor.opened["suggestions"], visitor.opened["believes"]) == (["me"], [], False)
    state = visitor.call("begin", patient=1, doctor="me")
    assert (state["known"], state["belief"]) == (["Patient is a 30-year-old woman."], [])
    state = visitor.call("ask", question="Is your knee swollen or hot?")
    assert state["turns"][0]["reply"] == "Her left knee is swollen and hot."
    assert "no question is left" in visitor.call("ask", 400, question="And fever?")["error"]
    review = visitor.call("answer", option="B")["review"]
    assert (review["outcome"], review["truth"]["text"]) == ("wrong", "Septic arthritis")
    assert (review["learned"], review["missed"], review["greedy"], review["red_flags"]) == (None, [], None, None)


def test_ddxplus_has_beliefs_and_suggestions_but_no_scripted_doctor(
    ddxplus_folder: Callable[[int], Path], tmp_path: Path, visit: Visit
) -> None:
    build(str(ddxplus_folder(60)), tmp_path / "out", {})
    visitor = visit(tmp_path / "out")
    assert (visitor.opened["doctors"], visitor.opened["believes"]) == (["me"], True)
    assert "Do you have a fever?" in visitor.opened["suggestions"]
    assert len(visitor.call("begin", patient=1, doctor="me")["belief"]) == 3
    visitor.call("ask", question="Do you wheeze?")
    review = visitor.call("answer", option="A")["review"]
    assert review["learned"] is not None
    assert len(review["belief"]) == 3
    assert (review["greedy"], review["red_flags"]) == (None, None)


def test_a_trained_policy_is_watched(tmp_path: Path, kb_folder: Path, kb: KnowledgeBase, visit: Visit) -> None:
    config = ModelConfig(path="tiny", hidden=16, layers=2, heads=2, kv_heads=1, mlp=32, max_length=400)
    policy = load_policy(config, consultation_tokens(kb, 2))
    save_policy(policy.model, policy.tokenizer, tmp_path / "policy")
    texts = []
    for _ in range(2):
        visitor = visit(kb_folder, tmp_path / "policy", budget=2, prompt_style="compact")
        assert visitor.opened["doctors"][-1] == "trained policy"
        state = visitor.call("begin", patient=1, doctor="trained policy")
        while not state["done"]:
            state = visitor.call("step")
        texts.append([turn["text"] for turn in state["turns"]])
    # A model that has learned nothing writes no turn; the same seed writes the same nonsense.
    assert texts[0] == texts[1]
    assert len(texts[0]) == 3
    assert state["turns"][0]["marks"] == ["not a turn: no 'question:' and no 'answer:'"]
    assert state["review"]["outcome"] == "none"


def test_folders_that_cannot_be_used_are_named(tmp_path: Path, text_folder: Path) -> None:
    with pytest.raises(UserError, match=r"not a medical dataset folder \(test\.jsonl is missing\)"):
        make_app(tmp_path, MedicalOptions(), None)
    with pytest.raises(UserError, match="prompt_style=compact needs a dataset with a knowledge base"):
        make_app(text_folder, MedicalOptions(prompt_style="compact"), None)
    with pytest.raises(UserError, match=r"policy .*: no such folder"):
        make_app(text_folder, MedicalOptions(), tmp_path / "policy")
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(UserError, match="the split 'test' is empty"):
        make_app(tmp_path, MedicalOptions(), None)


# -- requests that are refused ----------------------------------------------------------------------------------------


def test_what_cannot_be_done_now_is_said(kb_folder: Path, visit: Visit) -> None:
    visitor = visit(kb_folder, budget=0)
    assert "no consultation is under way" in visitor.call("ask", 400, question="Fever?")["error"]
    assert "allowed are 1 to 4" in visitor.call("begin", 400, patient=5, doctor="me")["error"]
    assert "allowed are 1 to 4" in visitor.call("begin", 400, patient=0, doctor="me")["error"]
    assert "doctor 'oracle'; allowed are me" in visitor.call("begin", 400, patient=1, doctor="oracle")["error"]
    visitor.call("begin", patient=1, doctor="random")
    assert "you are watching 'random'" in visitor.call("ask", 400, question="Fever?")["error"]
    assert "you are watching 'random'" in visitor.call("answer", 400, option="A")["error"]
    visitor.call("begin", patient=1, doctor="me")
    assert "you are the doctor" in visitor.call("step", 400)["error"]
    assert "the question is empty" in visitor.call("ask", 400, question=" \n")["error"]
    assert "no question is left" in visitor.call("ask", 400, question="Fever?")["error"]
    assert "no option has the label 'ZZ'" in visitor.call("answer", 400, option="ZZ")["error"]
    assert visitor.call("answer", option="A")["done"]
    assert "no consultation is under way" in visitor.call("answer", 400, option="A")["error"]
    assert "load the page again" in visitor.call("step", 404, session="unknown")["error"]


def test_a_patient_that_cannot_be_asked_is_known_at_the_start(kb_folder: Path) -> None:
    endpoint = EndpointOptions(base_url="ftp://x", model="m")
    with pytest.raises(UserError, match="base_url is 'ftp://x'"):
        make_app(kb_folder, MedicalOptions(endpoint=endpoint), None)


def test_hostile_questions_are_text_or_refused(kb_folder: Path, visit: Visit) -> None:
    visitor = visit(kb_folder)
    visitor.call("begin", patient=1, doctor="me")
    hostile = "<script>alert(1)</script>\u202e\x00 question: a? answer: B"
    turn = visitor.call("ask", question=hostile)["turns"][0]
    assert (turn["text"], turn["kind"]) == (f"question: {hostile}", "invalid")
    assert visitor.call("ask", question="x" * LONGEST_TEXT)["turns"][1]["text"] == "x" * LONGEST_TEXT
    message = visitor.call("ask", 400, question="x" * 3000)["error"]
    assert message == "question has 3000 characters; allowed are 2000"
    assert visitor.call("ask", 400, question=["<img>"])["error"] == "question: Input should be a valid string"
    assert "option has 9000 characters" in visitor.call("answer", 400, option="<" * 9000)["error"]
    assert visitor.call("begin", 400, patient=True, doctor="me")["error"].startswith("patient")
    assert visitor.call("step", 400, extra=1)["error"] == "extra: Extra inputs are not permitted"


@pytest.mark.parametrize(
    "body", ["", "{", "[" * 20_000, "null", "[]", '"x"', '{"session": "\\ud800"}', '{"session": 1e999}', "\x00"]
)
def test_bodies_that_are_no_request_are_refused(body: str, kb_folder: Path, visit: Visit) -> None:
    client = visit(kb_folder).client
    answer = client.post("/api/step", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert len(answer.json()["error"]) < 200


def test_sessions_are_bounded_and_the_idle_one_goes_first(kb_folder: Path, visit: Visit) -> None:
    visitor = visit(kb_folder)
    second = visitor.call("open", session=None)["session"]
    for _ in range(MOST_SESSIONS - 2):
        visitor.call("open", session=None)
    visitor.call("begin", patient=1, doctor="me")
    visitor.call("open", session=None)
    visitor.call("begin", 404, session=second, patient=1, doctor="me")
    assert visitor.call("ask", question="Fever?")["patient"] == 1


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:8001", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("127.0.0.1:8000@evil.example", 421),
        ("", 421),
    ],
)
def test_only_this_computers_names_are_answered(host: str, status: int, kb_folder: Path, visit: Visit) -> None:
    client = visit(kb_folder).client
    for answer in (client.get("/", headers={"host": host}), client.post("/api/open", json={}, headers={"host": host})):
        assert answer.status_code == status


def test_only_json_of_a_known_and_small_length_is_taken(kb_folder: Path, visit: Visit) -> None:
    client: TestClient = visit(kb_folder).client
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""):
        assert client.post("/api/open", content="{}", headers={"content-type": kind}).status_code == 415
    assert client.post(
        "/api/open", content="{}", headers={"content-type": "Application/JSON; charset=utf-8"}
    ).is_success
    assert client.post("/api/open", content=iter([b"{}"]), headers=JSON).status_code == 411
    big = client.post("/api/ask", content=json.dumps({"question": "x" * (1 << 20)}), headers=JSON)
    assert big.status_code == 413
    assert f"a request may have {MOST_BYTES} bytes" in big.json()["error"]


def test_every_answer_has_the_headers(kb_folder: Path, visit: Visit) -> None:
    client = visit(kb_folder).client
    answers = [
        client.get(path) for path in ("/", "/page.css", "/page.js", "/icon.svg", "/nothing", "/docs", "/api/open")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 404, 405]
    answers += [client.post("/api/open", json={}), client.post("/api/open", json={"x": 1}), client.post("/api/open")]
    answers.append(client.get("/", headers={"host": "evil.example"}))
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_the_files_name_no_other_place_and_set_no_html() -> None:
    static = Path(__file__).parents[4] / "domains" / "medical" / "page" / "static"
    texts = {path.name: path.read_text(encoding="utf-8") for path in static.iterdir()}
    assert set(texts) == {"index.html", "page.css", "page.js", "icon.svg"}
    for name, text in texts.items():
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", ""), name
        assert "@import" not in text
    assert not any(
        word in texts["page.js"] for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval")
    )
    assert "style=" not in texts["index.html"]
    assert "Research software, not medical advice:" in texts["index.html"]
