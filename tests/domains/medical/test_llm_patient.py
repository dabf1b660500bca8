"""A patient played by a model behind an endpoint: checked against the facts, and an error when the endpoint fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from domains.medical.assessment import outcome
from domains.medical.interview import consult
from domains.medical.llm_patient import LanguagePatient, repeated_facts
from domains.medical.schema import Case
from sciRL.score import Status
from sciRL.verification.chat_endpoint import ChatEndpoint

SAID = {"fever": "Patient complains of fever.", "pets": "I have two cats.", "vomit": "I have been vomiting."}


class Endpoint(BaseHTTPRequestHandler):
    """Replies by the first known word of the question; a question about sleep is never answered."""

    asked: list[str] = []  # noqa: RUF012
    leave = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        self.asked.append(question)
        tail = question.split("The doctor's question")[1]
        if "sleep" in tail:
            self.leave.wait(5)
            return
        said = next((reply for word, reply in SAID.items() if word in tail), "I don't know.")
        content = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ChatEndpoint]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield ChatEndpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", "m", timeout_s=0.5, retries=0)
    Endpoint.leave.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_replies_are_checked_against_the_facts(endpoint: ChatEndpoint, text_case: Case) -> None:
    patient = LanguagePatient(endpoint)
    told = patient.reply(text_case, "Any fever?")
    assert (told.status, told.fact_ids, told.text) == ("answered", ("f2",), SAID["fever"])
    invented = patient.reply(text_case, "Do you have pets?")
    assert (invented.status, invented.text, invented.fact_ids) == ("unknown", "I don't know.", ())
    # The fact is "Patient denies vomiting": a reply that says the opposite tells nothing.
    assert patient.reply(text_case, "Do you vomit?").status == "unknown"


def test_the_model_never_reads_options_or_answer(endpoint: ChatEndpoint, text_case: Case) -> None:
    LanguagePatient(endpoint).reply(text_case, "Any fever?")
    assert "Patient complains of fever." in Endpoint.asked[-1]
    assert not any(option in Endpoint.asked[-1] for option in text_case.options)


def test_a_question_that_is_too_long_is_not_passed_on(endpoint: ChatEndpoint, text_case: Case) -> None:
    before = len(Endpoint.asked)
    assert LanguagePatient(endpoint).reply(text_case, "fever " * 10_000).status == "invalid"
    assert len(Endpoint.asked) == before


def test_a_timeout_ends_the_episode_as_an_error(endpoint: ChatEndpoint, text_case: Case) -> None:
    record = consult(text_case, LanguagePatient(endpoint), lambda read: "question: How is your sleep?")
    assert record.done
    assert len(record.turns) == 1
    score = outcome(record)
    assert (score.status, score.value) == (Status.ERROR, None)
    assert "timed out" in score.reason


def test_negation_must_agree(text_case: Case) -> None:
    assert repeated_facts(text_case, "", "I deny vomiting.") == ["f3"]
    assert repeated_facts(text_case, "", "I don't have a fever.") == []
    assert repeated_facts(text_case, "", "My left knee is hot and swollen, and I have a fever.") == ["f2", "f4"]
