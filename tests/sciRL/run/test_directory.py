"""Run folders: one writer, the same data on resume, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciRL.errors import UserError
from sciRL.run.directory import RunDirectory, describe_run, hash_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    (folder / "train.jsonl").write_text("{}\n")
    (folder / "inner" / "x").write_text("x")
    return folder


def test_the_hash_follows_names_and_contents_only(data: Path) -> None:
    before = hash_data(data)
    (data / ".cache").write_text("hidden")
    (data / "train.jsonl").touch()
    assert hash_data(data) == before
    (data / "train.jsonl").write_text("{}\n\n")
    changed = hash_data(data)
    (data / "train.jsonl").rename(data / "test.jsonl")
    assert len({before, changed, hash_data(data)}) == 3


def test_missing_and_empty_data_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        hash_data(tmp_path / "absent")
    with pytest.raises(UserError, match="is empty"):
        hash_data(tmp_path)


def test_a_run_goes_on_only_with_its_own_data(tmp_path: Path, data: Path) -> None:
    manifest = describe_run(7, data, "cpu", "tiny")
    RunDirectory.create(tmp_path / "run", "seed: 7\n", manifest).close()
    run = RunDirectory.resume(tmp_path / "run", hash_data(data))
    assert run.read_manifest()["seed"] == 7
    assert run.config.read_text() == "seed: 7\n"
    run.close()
    began_with = hash_data(data)
    (data / "train.jsonl").write_text("other")
    with pytest.raises(UserError) as caught:
        RunDirectory.resume(tmp_path / "run", hash_data(data))
    assert began_with in str(caught.value)
    assert hash_data(data) in str(caught.value)


def test_a_used_folder_is_not_overwritten(tmp_path: Path, data: Path) -> None:
    RunDirectory.create(tmp_path / "run", "", describe_run(0, data, "cpu")).close()
    with pytest.raises(UserError, match="go on with --resume"):
        RunDirectory.create(tmp_path / "run", "", {})
    with pytest.raises(UserError, match="exists and is not empty: choose another --out"):
        RunDirectory.create(data, "", {})


def test_two_processes_do_not_write_into_one_run(tmp_path: Path, data: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "", describe_run(0, data, "cpu"))
    with pytest.raises(UserError, match="in use by another process"):
        RunDirectory.resume(tmp_path / "run", hash_data(data))
    run.close()
    RunDirectory.resume(tmp_path / "run", hash_data(data)).close()


@pytest.mark.parametrize("name", ["absent", "data"])
def test_another_folder_is_not_a_run(tmp_path: Path, data: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        RunDirectory.open(tmp_path / name)
