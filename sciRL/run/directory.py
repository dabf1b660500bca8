"""A run on disk: its folder, its manifest, and the guarantee that a resumed run goes on with the same data.

runs/<name>/
  config.yaml     the resolved configuration        metrics.jsonl   one object a step
  manifest.json   versions, seed, data, device      timings.jsonl   seconds and rates, machine-dependent
  samples.jsonl   what the policy wrote             checkpoints/    step-N/
  results/        the evaluation of every arm       policy/         the final policy
  report.html     self-contained                    tensorboard/    event files
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from sciRL.dataset_folder import refuse_below_file
from sciRL.errors import UserError

RECORDED_PACKAGES = ("sciRL", "torch", "transformers", "numpy", "safetensors", "peft", "accelerate", "tokenizers")


class RunDirectory:
    """The folder of one run; only one process at a time writes into it.

    `create` makes a new one, `resume` opens one to go on, `open` opens one to read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.timings = path / "timings.jsonl"
        self.samples = path / "samples.jsonl"
        self.results = path / "results"
        self.checkpoints = path / "checkpoints"
        self.policy = path / "policy"
        self.report = path / "report.html"
        self.tensorboard = path / "tensorboard"
        self._lock: IO[str] | None = None

    @classmethod
    def create(cls, path: Path, config_text: str, manifest: Mapping[str, Any]) -> RunDirectory:
        """Make a new run folder and write its configuration and manifest.

        Args:
            config_text: the resolved configuration as `dump_config` gives it.
            manifest: what `describe_run` returned.

        Raises:
            UserError: the folder holds something already (a finished or interrupted run is resumed instead).
        """
        cls.check_free(path)
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        run._take_lock()
        run.checkpoints.mkdir()
        write_text(run.config, config_text)
        # The manifest comes last: a folder that has one is a complete run folder.
        write_text(run.manifest, json.dumps(dict(manifest), indent=1, ensure_ascii=False) + "\n")
        return run

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise `UserError` when a new run cannot be made there because something is there or in the way."""
        refuse_below_file(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            hint = f"go on with --resume {path}, or choose" if (path / "manifest.json").exists() else "choose"
            raise UserError(f"run folder {path} exists and is not empty: {hint} another --out")

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open a run to read it; a folder without a manifest raises `UserError`."""
        run = cls(path)
        if not run.manifest.is_file():
            raise UserError(f"{path} is not a run folder ({'manifest.json is missing' if path.exists() else 'absent'})")
        return run

    @classmethod
    def resume(cls, path: Path, data_hash: str) -> RunDirectory:
        """Open a run to go on with it; data other than it began with raises `UserError`."""
        run = cls.open(path)
        began_with = run.read_manifest().get("data_hash")
        if began_with != data_hash:
            raise UserError(
                f"run {path} began with data of hash {began_with}, but the data given now has hash {data_hash}: "
                "give the same data, or start a new run"
            )
        run._take_lock()
        return run

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest."""
        try:
            manifest: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self.manifest} is not valid JSON: {error}") from None
        return manifest

    def update_manifest(self, **values: Any) -> None:
        """Add or replace entries of the manifest (when the run ended, what it cost)."""
        write_text(self.manifest, json.dumps(self.read_manifest() | values, indent=1, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Let another process write into the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        # The kernel drops the lock with the process, however it ends: no stale lock after a kill.
        stream = (self.path / ".lock").open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            raise UserError(f"run folder {self.path} is in use by another process") from None
        self._lock = stream


def describe_run(seed: int, data: Path, device: str, model: str = "", data_hash: str | None = None) -> dict[str, Any]:
    """Return a manifest: what is needed to know what was run, and to run it again.

    Args:
        data: the dataset folder or file.
        device: "cpu", "cuda:0".
        data_hash: `hash_data(data)` when it is known already.
    """
    return {
        "seed": seed,
        "model": model,
        "data": str(data),
        "data_hash": data_hash or hash_data(data),
        "device": _device_name(device),
        "command": shlex.join(["scirl", *sys.argv[1:]]) if Path(sys.argv[0]).name == "scirl" else shlex.join(sys.argv),
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
    }


def hash_data(data: Path) -> str:
    """Return the SHA-256 (first 16 digits) over the names and contents of a dataset file or folder.

    Hidden files do not count. A missing or empty folder raises `UserError`.
    """
    if not data.exists():
        raise UserError(f"data {data} does not exist")
    root = data if data.is_dir() else data.parent
    candidates = sorted(data.rglob("*")) if data.is_dir() else [data]
    files = [path for path in candidates if path.is_file() and not _is_hidden(path.relative_to(root))]
    if not files:
        raise UserError(f"data folder {data} is empty")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def git_commit() -> str | None:
    """Return the commit of the checkout this package runs from ("-dirty" when changed), None outside one."""
    # A package installed into a virtual environment inside somebody's repository is not of that repository.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def write_text(path: Path, text: str) -> None:
    """Write a file aside, flush it, and put it in its place in one step."""
    aside = path.with_name(f".{path.name}.aside")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(aside, path)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(torch.device(device))})"


def _versions() -> dict[str, str]:
    found = {}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
