"""Checkpoints: killed, damaged or out of room, the latest one that is found is whole."""

from __future__ import annotations

import errno
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sciRL.errors import UserError
from sciRL.run.checkpoint import latest_checkpoint, list_checkpoints, load_tree, save_checkpoint, save_tree


def save_for_ever(folder: Path, start: int) -> None:
    """Every step writes files whose contents are that step's number, so that a mixture of two steps shows."""

    def write(aside: Path) -> None:
        (aside / "policy").mkdir()
        for part in range(4):
            save_tree(aside / "policy" / f"{part}.safetensors", {"w": torch.full((20000,), float(step))})
        save_tree(aside / "state.safetensors", {"step": step})

    for step in itertools.count(start):
        save_checkpoint(folder, step, write, keep=2)


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child process (a fork: importing torch anew takes seconds) and return its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def write_value(value: float) -> Callable[[Path], None]:
    return lambda folder: save_tree(folder / "state.safetensors", {"value": torch.tensor(value)})


def test_a_killed_process_never_leaves_an_unreadable_latest_checkpoint(tmp_path: Path) -> None:
    generator, start = random.Random(0), 0
    for _ in range(20):
        child = fork(lambda: save_for_ever(tmp_path, start))  # noqa: B023 the child starts at once
        time.sleep(generator.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = latest_checkpoint(tmp_path)
        if not list_checkpoints(tmp_path):
            continue
        assert found is not None
        assert found.folder == list_checkpoints(tmp_path)[-1]
        assert load_tree(found.folder / "state.safetensors") == {"step": found.step}
        for part in (found.folder / "policy").iterdir():
            assert load_tree(part)["w"].unique().tolist() == [float(found.step)]
        start = found.step
    assert start > 0


def test_the_last_k_and_the_pinned_stay(tmp_path: Path) -> None:
    for step in range(6):
        save_checkpoint(tmp_path, step, write_value(step), keep=2, pinned=step == 1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001", "step-00000004", "step-00000005"]
    assert not list(tmp_path.glob(".*"))


def test_a_step_saved_again_replaces_the_old_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, write_value(1.0))
    checkpoint = save_checkpoint(tmp_path, 3, write_value(2.0))
    assert load_tree(checkpoint.folder / "state.safetensors")["value"] == 2.0


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: flip_byte(folder / "state.safetensors"), "checksum of state.safetensors differs"),
        (lambda folder: (folder / "state.safetensors").unlink(), "state.safetensors is missing"),
        (lambda folder: os.truncate(folder / "state.safetensors", 10), "has 10 bytes"),
        (lambda folder: (folder / "checkpoint.json").unlink(), "no readable checkpoint.json"),
        (lambda folder: (folder / "checkpoint.json").write_text("{"), "no readable checkpoint.json"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_for_the_previous_one(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    save_checkpoint(tmp_path, 1, write_value(1.0), pinned=True)
    damage(save_checkpoint(tmp_path, 2, write_value(2.0)).folder)
    with pytest.warns(UserWarning, match=message):
        found = latest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.pinned) == (1, True)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "absent") is None


def write_with_rust(aside: Path) -> None:
    save_tree(aside / "state.safetensors", {"w": torch.zeros(100_000)})


def write_with_python(aside: Path) -> None:
    (aside / "notes.txt").write_bytes(bytes(200_000))


@pytest.mark.parametrize("write", [write_with_rust, write_with_python])
def test_a_refused_write_is_a_clear_error_and_the_previous_checkpoint_stays(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "checkpoints"
    save_checkpoint(folder, 1, write_value(1.0))

    def work() -> None:
        # The limit makes the kernel refuse the write, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(folder, 2, write)
        except UserError as error:
            (tmp_path / "message").write_text(str(error))

    os.waitpid(fork(work), 0)
    message = (tmp_path / "message").read_text()
    assert "no room to save the checkpoint of step 2" in message
    assert "step-00000001 is intact" in message
    assert "--resume" in message
    assert [path.name for path in folder.iterdir()] == ["step-00000001"]
    assert latest_checkpoint(folder) is not None


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this container may not mount a file system")
    try:
        save_checkpoint(disk / "checkpoints", 1, write_value(1.0))
        with pytest.raises(UserError, match="no room to save the checkpoint of step 2"):
            save_checkpoint(
                disk / "checkpoints", 2, lambda folder: save_tree(folder / "big", {"w": torch.zeros(1_000_000)})
            )
        found = latest_checkpoint(disk / "checkpoints")
        assert found is not None
        assert found.step == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_another_failure_is_passed_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        save_checkpoint(tmp_path, 1, write)
    assert list(tmp_path.iterdir()) == []
