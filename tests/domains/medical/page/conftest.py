"""Fixtures: dataset folders, the real app, and a client that speaks to it as a browser on this computer does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domains.medical.datasets import build
from domains.medical.options import MedicalOptions
from domains.medical.page.app import make_app
from domains.medical.schema import Case

HOST = "http://127.0.0.1:8000"

Visit = Callable[..., "Visitor"]


class Visitor:
    """A page load: every call must succeed unless another status is expected."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.opened = self.call("open", session=None)
        self.session = self.opened["session"]

    def call(self, name: str, status: int = 200, session: str | None = "", **body: Any) -> dict[str, Any]:
        known = {} if session is None else {"session": session or self.session}
        answer = self.client.post(f"/api/{name}", json={**known, **body})
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="session")
def kb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty patients of the embedded knowledge base; four are held out."""
    folder = tmp_path_factory.mktemp("page") / "kb"
    build("toy", folder, {"count": "40"})
    return folder


@pytest.fixture
def text_folder(tmp_path: Path, text_case: Case) -> Path:
    """One examination item without a knowledge base."""
    folder = tmp_path / "exam"
    folder.mkdir()
    (folder / "test.jsonl").write_text(text_case.to_json() + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def visit() -> Visit:
    """Opens a session on a folder's page."""

    def open_page(folder: Path, policy: Path | None = None, **options: Any) -> Visitor:
        app = make_app(folder, MedicalOptions(**options), policy)
        return Visitor(TestClient(app, base_url=HOST, raise_server_exceptions=False))

    return open_page
