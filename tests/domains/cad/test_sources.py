"""Sources are read as they are, and what is broken is named by line or file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domains.cad.sources import BadRow, SourceRow, open_source, read_source
from sciRL.errors import UserError

CODE = "import cadquery as cq\nresult = cq.Workplane().box(1, 2, 3)"


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path: Path, **fields: str) -> list[SourceRow | BadRow]:
    return list(read_source(open_source(str(path)), fields))


def test_json_lines_are_read_by_common_or_given_names(tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_bytes(b"solid")
    path = jsonl(
        tmp_path / "rows.jsonl",
        {"id": 7, "code": CODE, "prompt": "a box", "prompt_measured": "a box of 1 x 2 x 3", "stl": "a.stl"},
    )
    [row] = read(path)
    assert isinstance(row, SourceRow)
    assert (row.id, row.texts, row.shape) == ("7", {"expert": "a box of 1 x 2 x 3"}, tmp_path / "a.stl")
    [row] = read(path, text="prompt")
    assert isinstance(row, SourceRow)
    assert row.texts == {"expert": "a box"}


def test_broken_lines_are_named(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "rows.jsonl", {"code": CODE}, "{", [1], {"prompt": "x"}, {"stl": "gone.stl"}, {"code": ["x"]}
    )
    first, *bad = read(path)
    assert isinstance(first, SourceRow)
    assert [row.where for row in bad] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    details = [row.detail for row in bad if isinstance(row, BadRow)]
    assert "needs a program or a shape file" in details[2]
    assert "'gone.stl' is missing" in details[3]
    assert "must be text; found list" in details[4]


def test_a_given_field_that_is_missing_is_named(tmp_path: Path) -> None:
    [row] = read(jsonl(tmp_path / "rows.jsonl", {"code": CODE}), text="words")
    assert isinstance(row, BadRow)
    assert "'words' is missing; found ['code']" in row.detail


def test_a_folder_is_read_by_what_it_holds(tmp_path: Path) -> None:
    for name, content in (("b.py", CODE.encode()), ("a.py", b"\xff\xfe"), ("c.txt", b"")):
        (tmp_path / name).write_bytes(content)
    bad, good = read(tmp_path)
    assert isinstance(bad, BadRow)
    assert bad.where == "a.py"
    assert isinstance(good, SourceRow)
    assert good.code == CODE


@pytest.mark.parametrize("name", ["missing", "rows.csv", "empty"])
def test_what_is_no_source_says_what_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.csv").write_text("a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        open_source(str(tmp_path / name))
