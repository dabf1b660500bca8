"""The page's web application: one session a page load, state on the server, JSON in both directions.

Research software, not medical advice.

==================  ==================================  ===========================================
request             body                                answer
==================  ==================================  ===========================================
GET /               -                                   the page; its files are beside it
POST /api/open      {}                                  session id, patients, doctors, suggestions
POST /api/begin     session, patient, doctor            the consultation (see `view`)
POST /api/ask       session, question                   the consultation
POST /api/answer    session, option                     the consultation, with the review
POST /api/step      session                             the consultation
==================  ==================================  ===========================================

What goes wrong is answered with {"error": one sentence}. Importing this module needs FastAPI.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from domains.medical.options import MedicalOptions
from domains.medical.page.guard import Guard
from domains.medical.page.practice import Practice
from domains.medical.page.session import Session, Sessions
from domains.medical.page.view import view
from sciRL.errors import UserError

LONGEST_TEXT = 2000
"""Characters of a question."""

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Body(BaseModel):
    """A request's JSON object; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Open(Body):
    """Opens a session."""


class Step(Body):
    """Lets the watched doctor take a turn."""

    session: Annotated[str, Field(max_length=64)]
    """Id of the session."""


class Begin(Step):
    """Begins a consultation."""

    patient: int | Literal["next", "random"]
    """Number of the patient, from 1, or which one."""
    doctor: Annotated[str, Field(max_length=64)]
    """Who plays the doctor."""


class Ask(Step):
    """Asks a question."""

    question: Annotated[str, Field(max_length=LONGEST_TEXT)]
    """Plain words."""


class Answer(Step):
    """Names the diagnosis."""

    option: Annotated[str, Field(max_length=8)]
    """Label of an option."""


def make_app(data: Path, options: MedicalOptions, policy: Path | None) -> FastAPI:
    """Return the page's app over the test split of a dataset folder.

    Args:
        data: the dataset folder.
        options: how a consultation goes.
        policy: a policy or run folder whose turns can be watched; None offers none.

    Raises:
        UserError: a folder that cannot be used.
    """
    practice = Practice(data, options, policy)
    sessions = Sessions(practice)
    # One visitor at a time: a laptop has one, and neither sessions nor samplers are made for several threads.
    lock = threading.Lock()
    # The pages that FastAPI makes for its interface load scripts from elsewhere.
    app = FastAPI(title="sciRL medical", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)
    _add_errors(app)
    for path, (name, kind) in _FILES.items():
        app.add_api_route(path, _file(name, kind), methods=["GET"])

    def act(name: str, action: Callable[[Session], None]) -> dict[str, Any]:
        with lock:
            try:
                session = sessions.get(name)
            except KeyError:
                raise HTTPException(404, "this session has ended; load the page again") from None
            action(session)
            return view(session)

    @app.post("/api/open")
    def open_session(body: Open) -> dict[str, Any]:
        with lock:
            return {
                "session": sessions.open(),
                "patients": len(practice.cases),
                "doctors": practice.doctors,
                "suggestions": practice.suggestions,
                "budget": options.budget,
                "believes": practice.clinic.belief is not None,
                "longest": LONGEST_TEXT,
            }

    @app.post("/api/begin")
    def begin(body: Begin) -> dict[str, Any]:
        return act(body.session, lambda session: session.begin(body.patient, body.doctor))

    @app.post("/api/ask")
    def ask(body: Ask) -> dict[str, Any]:
        return act(body.session, lambda session: session.ask(body.question))

    @app.post("/api/answer")
    def answer(body: Answer) -> dict[str, Any]:
        return act(body.session, lambda session: session.answer(body.option))

    @app.post("/api/step")
    def step(body: Step) -> dict[str, Any]:
        return act(body.session, Session.step)

    return app


def _file(name: str, kind: str) -> Callable[[], Response]:
    content = (_STATIC / name).read_bytes()

    def respond() -> Response:
        return Response(content, media_type=kind)

    return respond


def _add_errors(app: FastAPI) -> None:
    """Answer every error with one sentence; what was sent is not repeated."""

    @app.exception_handler(UserError)
    def bad_input(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RequestValidationError)
    def bad_body(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str)) or "the request"
        if first["type"] == "string_too_long":
            most = first["ctx"]["max_length"]
            return JSONResponse({"error": f"{where} has {len(first['input'])} characters; allowed are {most}"}, 400)
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)

    @app.exception_handler(HTTPException)
    def bad_request(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)
