"""Checkpoints: whole folders that appear at once, are verified when read, and survive a full disk.

    save_checkpoint(run.checkpoints, step, write)          # write(folder) puts files into `folder`
    found = latest_checkpoint(run.checkpoints)             # newest one whose checksums hold, or None
    state = load_tree(found.folder / "state.safetensors")

A checkpoint is `step-00000120/` with whatever `write` put there and `checkpoint.json` (step, pinned,
size and SHA-256 of each file). It is written in a hidden folder beside its place, flushed to the disk and
renamed; a process killed at any moment leaves the previous checkpoint as it was.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sciRL.errors import UserError
from sciRL.run.tree import load_tree, save_tree

__all__ = ["Checkpoint", "latest_checkpoint", "list_checkpoints", "load_tree", "save_checkpoint", "save_tree"]

SEAL = "checkpoint.json"
_NAME = re.compile(r"step-(\d+)")
_HIDDEN = ".aside-"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_DISK_TEXT = re.compile(r"No space left on device|Disk quota exceeded|File too large|os error (?:28|122|27)\b")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose files were verified (or just written)."""

    folder: Path
    step: int
    pinned: bool


def save_checkpoint(
    folder: Path, step: int, write: Callable[[Path], None], *, keep: int = 2, pinned: bool = False
) -> Checkpoint:
    """Write a checkpoint and remove old ones.

    Args:
        folder: the run's `checkpoints/` folder; made when absent.
        step: the step after which the state is taken; an older checkpoint of the same step is replaced.
        write: puts the state's files into the folder it is given.
        keep: how many of the newest unpinned checkpoints stay.
        pinned: keep this one for ever (the end of a stage, the best one).

    Raises:
        UserError: the disk is full; what was written is removed and earlier checkpoints are untouched.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1; found {keep}")
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    aside = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=folder))
    try:
        write(aside)
        _seal(aside, step, pinned)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if _is_full_disk(error):
            raise _full_disk_error(folder, step) from error
        raise
    target = folder / f"step-{step:08d}"
    _replace_folder(aside, target)
    _prune(folder, keep)
    return Checkpoint(target, step, pinned)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint whose checksums hold; damaged ones are skipped with a warning."""
    for path in reversed(list_checkpoints(folder)):
        problem = _damage(path)
        if problem is None:
            seal = json.loads((path / SEAL).read_text())
            return Checkpoint(path, int(seal["step"]), bool(seal["pinned"]))
        warnings.warn(f"checkpoint {path} is damaged ({problem}); trying the previous one", stacklevel=2)
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders, oldest step first, unverified."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=_step_of)


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match.group(1)) if match else -1


def _seal(aside: Path, step: int, pinned: bool) -> None:
    """Flush every file and write the list of checksums, last of all."""
    files = {}
    for path in _files(aside):
        files[path.relative_to(aside).as_posix()] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        _flush(path)
    seal = aside / SEAL
    seal.write_text(json.dumps({"step": step, "pinned": pinned, "files": files}, indent=1))
    _flush(seal)
    for inner in [aside, *(path for path in aside.rglob("*") if path.is_dir())]:
        _flush(inner)
    # mkdtemp makes folders private; a checkpoint is as readable as the run around it.
    aside.chmod(0o777 & ~_umask())


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _replace_folder(source: Path, target: Path) -> None:
    if target.exists():
        _retire(target)
    os.rename(source, target)
    _flush(target.parent)


def _retire(path: Path) -> None:
    """Take a checkpoint out of sight in one step, then delete it: no half-deleted one is ever listed."""
    hidden = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=path.parent))
    os.rename(path, hidden / path.name)
    shutil.rmtree(hidden, ignore_errors=True)


def _prune(folder: Path, keep: int) -> None:
    unpinned = [path for path in list_checkpoints(folder) if not _is_pinned(path)]
    for path in unpinned[:-keep]:
        _retire(path)


def _is_pinned(path: Path) -> bool:
    try:
        return bool(json.loads((path / SEAL).read_text())["pinned"])
    except (OSError, ValueError, KeyError):
        return False


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(path, ignore_errors=True)


def _damage(path: Path) -> str | None:
    try:
        files = json.loads((path / SEAL).read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"no readable {SEAL}: {error}"
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {expected['bytes']}"
        if _sha256(file) != expected["sha256"]:
            return f"the checksum of {name} differs"
    return None


def _is_full_disk(error: BaseException) -> bool:
    """Whether an error says that there is no room; Rust and C++ writers say so in words only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL_DISK
    return isinstance(error, Exception) and bool(_FULL_DISK_TEXT.search(str(error)))


def _full_disk_error(folder: Path, step: int) -> UserError:
    previous = list_checkpoints(folder)
    free = shutil.disk_usage(folder).free / 2**20
    kept = f"the previous checkpoint {previous[-1].name} is intact" if previous else "there is no earlier checkpoint"
    return UserError(
        f"no room to save the checkpoint of step {step} in {folder} ({free:.0f} MiB free): {kept}; "
        "free space, then go on with --resume"
    )
