"""Dataset folders: what every builder does around its own science.

A folder holds data files and `manifest.json`, which names the domain, the source, what was dropped and why, and the
sha256 of every file. It is written aside and renamed, so that a killed build leaves no half dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from sciRL.errors import UserError

SPLITS = ("train", "validation", "test")
MANIFEST = "manifest.json"
MAX_PROBLEMS = 50

Settings = TypeVar("Settings", bound=BaseModel)
Row = TypeVar("Row")


class JsonRow(Protocol):
    """A row that can be written as one line of JSON."""

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        ...


def parse_build_settings(model: type[Settings], options: Mapping[str, str]) -> Settings:
    """Validate key=value options; a bad key or value raises `UserError` with what is allowed."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(f"unknown build option {key!r}; allowed are {', '.join(model.model_fields)}") from error
        raise UserError(f"build option {key}={first['input']!r}: {first['msg']}") from error


def refuse_existing(out: Path, overwrite: bool, kind: str = "dataset") -> None:
    """Raise `UserError` when `out` holds something that a build may not replace.

    An empty folder may always be filled; with `overwrite`, a folder with a manifest may be replaced.
    """
    refuse_below_file(out)
    replaceable = overwrite and (out / MANIFEST).is_file()
    if out.exists() and not replaceable and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} exists already; choose another folder, or overwrite=true to replace a {kind} folder")


def refuse_below_file(out: Path) -> None:
    """Raise `UserError` when `out` cannot be made, as one of the folders above it is a file."""
    blocking = next((parent for parent in out.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        raise UserError(f"{out} cannot be made: {blocking} is a file; choose another place")


def write_folder(out: Path, files: Mapping[str, str | bytes], manifest: Mapping[str, Any]) -> None:
    """Write a dataset folder: its files by relative path, and the manifest with their sha256 as `files`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.parent / f".{out.name}.{os.getpid()}.building"
    replaced = out.parent / f".{out.name}.{os.getpid()}.replaced"
    hashes: dict[str, str] = {}
    try:
        aside.mkdir()
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
        text = json.dumps({**manifest, "files": hashes}, indent=1, ensure_ascii=False)
        (aside / MANIFEST).write_text(text + "\n", encoding="utf-8")
        if out.exists():
            os.replace(out, replaced)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def as_lines(rows: Sequence[JsonRow]) -> str:
    """Return rows as JSON lines."""
    return "".join(row.to_json() + "\n" for row in rows)


def read_manifest(folder: Path, domain: str) -> dict[str, Any]:
    """Return the manifest of a dataset folder of a domain.

    Raises:
        UserError: no manifest, no JSON object of the right form, or the folder of another domain.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a {domain} dataset folder ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: a JSON object is needed; found {type(manifest).__name__}")
    if manifest.get("domain") != domain:
        raise UserError(f"{path}: a folder of domain {domain} is needed; found {manifest.get('domain')!r}")
    for key in ("files", "rows"):
        if not isinstance(manifest.get(key, {}), dict):
            raise UserError(f"{path}: {key} must be a JSON object; found {manifest[key]!r}"[:300])
    return manifest


def file_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return which files of a folder are missing or differ from the manifest, one line each."""
    problems = []
    for name, expected in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name}: is missing")
        elif (found := sha256(path)) != expected:
            problems.append(f"{name}: sha256 {found} is not the manifest's {expected}")
    return problems


def count_problems(parts: Mapping[str, Sequence[Any]], manifest: Mapping[str, Any]) -> list[str]:
    """Return which splits do not hold as many rows as the manifest says, one line each."""
    counts = manifest.get("rows", {})
    return [
        f"{split}.jsonl: {len(rows)} rows, the manifest says {counts.get(split)}"
        for split, rows in parts.items()
        if len(rows) != counts.get(split)
    ]


def at_most(problems: Sequence[str], limit: int = MAX_PROBLEMS) -> list[str]:
    """Return the first problems and a count of the rest."""
    if len(problems) <= limit:
        return list(problems)
    return [*problems[:limit], f"... and {len(problems) - limit} more problems"]


def read_jsonl(path: Path, parse: Callable[[Any], Row], what: str) -> tuple[Row, ...]:
    """Return the rows of a JSON-lines file; a line that is none raises `UserError` with file and line.

    Args:
        path: the file.
        parse: makes a row of parsed JSON; `ValueError`, `TypeError`, `AttributeError` and `UserError` mean it is none.
        what: what a row is, for the message ("a crystal row").
    """
    rows = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                if line.strip():
                    rows.append(parse(json.loads(line.decode("utf-8"))))
            except (ValueError, TypeError, AttributeError, RecursionError, UserError) as error:
                raise UserError(f"{path}: line {number}: not {what}: {error}") from error
    return tuple(rows)


def split_file(data: Path, split: str, domain: str) -> Path:
    """Return the file of a split; an unknown split or a folder that is no dataset raises `UserError`."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; allowed are {', '.join(SPLITS)}")
    path = data / f"{split}.jsonl"
    if not path.is_file():
        raise UserError(f"{data}: not a {domain} dataset folder ({path.name} is missing); make one with "
                        f"scirl data build {domain} --source SOURCE --out FOLDER")  # fmt: skip
    return path


def across_splits(parts: Mapping[str, Sequence[Row]], group: Callable[[Row], str]) -> list[str]:
    """Return the groups that occur in more than one split, sorted."""
    seen: dict[str, set[str]] = defaultdict(set)
    for split, rows in parts.items():
        for row in rows:
            seen[group(row)].add(split)
    return sorted(name for name, splits in seen.items() if len(splits) > 1)


def seeded_order(seed: int, text: str) -> str:
    """Return a key that sorts texts in an order drawn by `seed`, the same on every machine."""
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
