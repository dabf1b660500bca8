"""A task's pictures are part of what it asks, by what the files hold and not by where they lie."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sciRL.errors import UserError
from sciRL.task import Task

PROMPT = ({"role": "user", "content": "What is this?"},)


def test_equal_files_are_equal_questions_and_other_files_are_not(tmp_path: Path) -> None:
    for name, content in (("a.png", b"one"), ("copy.png", b"one"), ("b.png", b"two")):
        (tmp_path / name).write_bytes(content)
    a, copy, b = (Task("t", PROMPT, images=(str(tmp_path / name),)) for name in ("a.png", "copy.png", "b.png"))
    assert a.id == copy.id
    assert len({a.id, b.id, Task("t", PROMPT).id}) == 3
    both = Task("t", PROMPT, images=(*a.images, *b.images))
    assert both.id != Task("t", PROMPT, images=(*b.images, *a.images)).id


def test_a_changed_file_is_another_question(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    before = Task("t", PROMPT, images=(str(path),)).id
    path.write_bytes(b"another")
    assert Task("t", PROMPT, images=(str(path),)).id != before


def test_a_saved_task_comes_back_without_its_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    task = Task("t", PROMPT, reference=3, images=(str(path),))
    line = task.to_json()
    path.unlink()
    assert Task.from_json(line) == task == pickle.loads(pickle.dumps(task)) == task.with_metadata()
    assert "image" not in Task("t", PROMPT).to_json()


def test_an_id_is_checked_against_the_digests(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    forged = Task("t", PROMPT, images=(str(path),)).to_dict() | {"image_digests": ["0" * 64]}
    with pytest.raises(ValueError, match="does not match its content"):
        Task.from_dict(forged)


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task image .*absent\.png: cannot be read \(No such file"):
        Task("t", PROMPT, images=(str(tmp_path / "absent.png"),))
    with pytest.raises(UserError, match="is no regular file"):
        Task("t", PROMPT, images=(str(tmp_path),))
    with pytest.raises(ValueError, match="needs a user message"):
        Task("t", ({"role": "system", "content": "x"},), images=("a",), image_digests=("0",))
    with pytest.raises(ValueError, match="1 images needs as many image digests; found 2"):
        Task("t", PROMPT, images=("a",), image_digests=("0", "1"))
    with pytest.raises(ValueError, match="must be a sequence of paths"):
        Task("t", PROMPT, images="a.png")  # type: ignore[arg-type]
