"""The page in a real browser: consultations from start to diagnosis, and texts that try to be more than text."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from domains.medical.doctors import KbDoctor
from domains.medical.options import MedicalOptions
from domains.medical.page.app import make_app
from domains.medical.schema import Case

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>?"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser: {CHROMIUM} is missing (apt-get install chromium)"),
    pytest.mark.slow,
]


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port of this computer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture(scope="module")
def address(kb_folder: Path) -> Iterator[str]:
    """The real app."""
    with served(make_app(kb_folder, MedicalOptions(budget=4, confidence=1.0), None)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@contextmanager
def loaded(browser: Any, address: str) -> Iterator[Any]:
    """Load a page; afterwards it must have asked nobody else, opened no dialog and logged no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(15_000)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#doctor option", state="attached")
    yield page
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(address)] == []


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with loaded(browser, address) as found:
        yield found


def focused(page: Any) -> str:
    found: str = page.evaluate("document.activeElement.id")
    return found


def tab_to(page: Any, name: str) -> None:
    """Press Tab until an element has the focus, at most once round the page."""
    for _ in range(20):
        if focused(page) == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches #{name}")


def test_a_consultation_by_keyboard_alone(page: Any) -> None:
    tab_to(page, "next")
    page.keyboard.press("Enter")
    page.wait_for_selector("#question:focus")
    assert page.locator("#transcript .patient").count() == 1
    assert page.locator("#left").inner_text() == "4 questions are left."
    page.keyboard.type("Have you had a fever?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#transcript .patient >> nth=1")
    assert page.locator("#transcript .doctor .text").inner_text() == "Have you had a fever?"
    assert page.locator("#transcript .patient .text").nth(1).inner_text().startswith("Have you had a fever? ")
    assert page.locator("#question").input_value() == ""
    page.keyboard.type("What is your favourite colour?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#transcript .doctor >> nth=1")
    assert "invalid: nothing the patient could know" in page.locator("#transcript .doctor .mark").inner_text()
    assert page.locator("#left").inner_text() == "2 questions are left."
    assert page.locator("#transcript .gain").all_inner_texts() == ["", ""]
    assert page.locator("#bars li").count() == 6

    tab_to(page, "option")
    page.keyboard.type("migraine")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#verdict:focus")
    assert ": the diagnosis is " in page.locator("#verdict").inner_text()
    assert page.locator("#transcript .doctor .text").last.inner_text() == "Diagnosis: migraine"
    assert page.locator("#transcript .gain").first.inner_text().startswith("information gain (SIG) 0.")
    assert "Greedy information gain with this patient" in page.locator("#findings").inner_text()
    assert not page.locator("#ask").is_visible()
    tab_to(page, "again")
    page.keyboard.press("Enter")
    page.wait_for_selector("#question:focus")
    assert page.locator("#title").inner_text() == "Patient 2, you are the doctor"
    assert page.locator("#transcript li").count() == 1


def test_watching_greedy_to_the_end(page: Any) -> None:
    page.select_option("#doctor", "greedy information gain")
    page.fill("#number", "3")
    page.click("#go")
    page.wait_for_selector("#step:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#transcript .doctor")
    assert page.locator("#transcript .gain").first.inner_text().startswith("information gain")
    page.click("#play")
    page.wait_for_selector("#transcript .doctor >> nth=1")
    page.click("#play")
    assert page.locator("#play").inner_text() == "Play"
    # A step that was under way may still arrive; after it nothing moves.
    page.wait_for_timeout(300)
    paused = page.locator("#transcript li").count()
    page.wait_for_timeout(1500)
    assert page.locator("#transcript li").count() == paused < 10
    page.click("#play")
    page.wait_for_selector("#review:not([hidden])")
    assert focused(page) == "verdict"
    assert page.locator("#title").inner_text() == "Patient 3, doctor: greedy information gain"
    own = page.locator("#transcript .doctor .text").all_inner_texts()
    compared = page.locator("#findings ol li").all_inner_texts()
    assert len(own) == len(compared) + 1 == 5
    assert all(line.startswith(question) for line, question in zip(compared, own, strict=False))


def test_hostile_text_is_text(page: Any) -> None:
    page.click("#next")
    page.wait_for_selector("#question")
    before = page.locator("img, script, iframe").count()
    page.fill("#question", HOSTILE)
    page.keyboard.press("Enter")
    page.wait_for_selector("#transcript .doctor")
    assert page.locator("#transcript .doctor .text").inner_text() == HOSTILE
    assert page.locator("img, script, iframe").count() == before
    page.evaluate("document.getElementById('question').value = '<b>' + 'x'.repeat(1 << 20)")
    page.focus("#question")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert page.locator("#error").inner_text() == "question has 1048579 characters; allowed are 2000"
    assert page.locator("#transcript .doctor").count() == 1


def test_hostile_words_of_cases_and_patients_are_text(browser: Any, text_case: Case, tmp_path: Path) -> None:
    case = text_case.to_dict()
    facts = [{**fact, "text": f"{fact['text']} {HOSTILE}"} for fact in case["facts"]]
    options = [f"{option} {HOSTILE}" for option in case["options"]]
    hostile = Case.from_dict({**case, "facts": facts, "options": options, "question": HOSTILE})
    (tmp_path / "test.jsonl").write_text(hostile.to_json() + "\n", encoding="utf-8")
    app = make_app(tmp_path, MedicalOptions(budget=2), None)
    with served(app) as address, loaded(browser, address) as page:
        before = page.locator("img, script, iframe").count()
        page.click("#next")
        page.fill("#question", "Do you have a fever?")
        page.keyboard.press("Enter")
        page.wait_for_selector("#transcript .patient >> nth=1")
        assert (
            page.locator("#transcript .patient .text").nth(1).inner_text() == f"Patient complains of fever. {HOSTILE}"
        )
        page.select_option("#option", "B")
        page.click("#answer button")
        page.wait_for_selector("#verdict:focus")
        assert page.locator("#verdict").inner_text() == f"Wrong: the diagnosis is Septic arthritis {HOSTILE}"
        assert page.locator("img, script, iframe").count() == before


def test_hostile_words_of_a_watched_doctor_are_text(
    browser: Any, kb_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KbDoctor, "next_turn", lambda self, consultation: HOSTILE)
    with served(make_app(kb_folder, MedicalOptions(budget=1), None)) as address, loaded(browser, address) as page:
        before = page.locator("img, script, iframe").count()
        page.select_option("#doctor", "random")
        page.click("#next")
        page.click("#step")
        page.wait_for_selector("#transcript .doctor")
        assert page.locator("#transcript .doctor .text").inner_text() == HOSTILE
        assert page.locator("img, script, iframe").count() == before


def test_beliefs_can_be_hidden_and_the_disclaimer_cannot(page: Any) -> None:
    page.click("#next")
    page.wait_for_selector("#bars li")
    page.uncheck("#show")
    assert not page.locator("#bars").is_visible()
    page.fill("#question", "cough")
    page.keyboard.press("Enter")
    page.wait_for_selector("#transcript .doctor")
    assert not page.locator("#bars").is_visible()
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 640})
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        box = page.locator("#disclaimer").bounding_box()
        assert box["y"] >= 0
        assert "not medical advice" in page.locator("#disclaimer").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#go").bounding_box()["y"] == page.locator("#number").bounding_box()["y"]
