"""Dataset folders: files that are not what they should be are named, and nothing is made below a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sciRL.dataset_folder import read_jsonl, read_manifest, refuse_existing
from sciRL.errors import UserError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\xff\xfe{}", "line 2: not a row: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "line 2: not a row: "),
        (b'{"a": ', "line 2: not a row: Expecting value"),
    ],
)
def test_a_line_that_is_no_json_is_named(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "\xc3\xa9"}\n' + line + b"\n")
    with pytest.raises(UserError, match=rf"rows\.jsonl: {message}"):
        read_jsonl(path, dict, "a row")
    path.write_bytes(b'{"a": "\xc3\xa9"}\r\n\n')
    assert read_jsonl(path, dict, "a row") == ({"a": "é"},)


def test_nothing_can_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/a/b cannot be made: .*file is a file"):
        refuse_existing(tmp_path / "file" / "a" / "b", overwrite=False)
    refuse_existing(tmp_path / "new" / "a", overwrite=False)


@pytest.mark.parametrize(("key", "value"), [("files", [1]), ("rows", "x")])
def test_a_manifest_of_another_form_is_named(key: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"domain": "toy", key: value}))
    with pytest.raises(UserError, match=rf"manifest\.json: {key} must be a JSON object; found"):
        read_manifest(tmp_path, "toy")
