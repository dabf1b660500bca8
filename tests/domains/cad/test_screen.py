"""The screen refuses with a code and a line, and lets through what real scripts do."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cad.screen import MAX_SOURCE, Refusal, screen


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("a = (", "syntax", "line 1"),
        ("import cadquery\nimport socket", "import_denied", "line 2: module 'socket'"),
        ("from urllib.request import urlopen", "import_denied", "'urllib'"),
        ("from . import x", "import_denied", "relative"),
        ("x = eval('1')", "policy", "eval()"),
        ("().__class__.__bases__", "policy", "__"),
        ("__builtins__", "policy", "__builtins__"),
        ("(" * 300 + ")" * 300, "syntax", ""),
        ("x = 1\0", "syntax", ""),
        ("#" * (MAX_SOURCE + 1), "policy", "characters"),
    ],
)
def test_a_refusal_names_code_and_place(source: str, code: str, message: str) -> None:
    refusal = screen(source)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert message in refusal.message


def test_annotated_assignments_and_exports_pass() -> None:
    source = (
        "import cadquery as cq\nr: float = 2.0\npart = cq.Workplane().circle(r)\ncq.exporters.export(part, 'a.stl')"
    )
    assert isinstance(screen(source), ast.Module)


@given(st.text(max_size=300))
def test_any_text_is_judged_without_an_exception(source: str) -> None:
    assert isinstance(screen(source), (ast.Module, Refusal))


@pytest.mark.parametrize("folder", ["gencad_code_test100", "cadprompt200"])
def test_published_scripts_are_not_refused(shared_data: Path, folder: str) -> None:
    path = shared_data / "cad" / folder / "tasks.jsonl"
    if not path.is_file():
        pytest.skip(f"{path.name} of {folder} is not there")
    refused = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        judged = screen(row["code"])
        if isinstance(judged, Refusal):
            refused[row["id"]] = judged
    assert refused == {}
