"""Sources of CAD parts: folders of programs, STEP, BREP or STL files, JSON lines of programs, and the part generator.

==============================================  =================================================================
source                                          rows
==============================================  =================================================================
`parts`                                         the part generator (see `parts.catalogue`)
a folder with `tasks.jsonl` or a `.jsonl` file  one line a part: fields are found by name, or named by the options
                                                `id_field`, `code_field`, `text_field` and `shape_field` (a path
                                                relative to the file); the layouts of GenCAD-Code and CADPrompt
                                                exports need no option
a folder of `.py` files                         one program a file
a folder of `.step`/`.stp`, `.brep`, `.stl`     one shape a file: tasks without a program to imitate
==============================================  =================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domains.cad.workshop import SHAPE_FILES
from sciRL.dataset_folder import sha256
from sciRL.errors import UserError

GENERATED = "parts"
TASKS_FILE = "tasks.jsonl"
SUFFIXES = {".py": "code", **SHAPE_FILES}
MAX_PROGRAM_BYTES = 1_000_000

FIELD_NAMES = {
    "id": ("id", "uid", "name"),
    "code": ("code", "cadquery", "program", "solution", "completion"),
    "text": ("prompt_measured", "text", "prompt", "description", "instruction"),
    "shape": ("step", "stl", "brep", "shape"),
}
"""Names under which a field of JSON lines is looked for, in this order."""


@dataclass(frozen=True)
class SourceRow:
    """One part of a source before it is built: a program, a shape file, or both."""

    id: str
    where: str
    code: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    shape: Path | None = None
    licence: str = ""


@dataclass(frozen=True)
class BadRow:
    """A line or file that is no part, and why."""

    where: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Source:
    """An opened source: its name, kind and files."""

    name: str
    kind: str
    files: tuple[Path, ...]

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file, by file name."""
        return {path.name: sha256(path) for path in self.files}


def open_source(source: str) -> Source:
    """Find out what `source` is.

    Raises:
        UserError: nothing there, or nothing in it that is read.
    """
    path = Path(source)
    if source == GENERATED and not path.exists():
        return Source(GENERATED, "generated", ())
    if not path.exists():
        raise UserError(f"{source}: no such file or folder (the part generator is called '{GENERATED}')")
    if path.is_file():
        if path.suffix.lower() != ".jsonl":
            allowed = f".jsonl, or a folder of {', '.join(SUFFIXES)} files"
            raise UserError(f"{source}: unsupported file type; allowed are {allowed}")
        return Source(path.name, "jsonl", (path,))
    if (path / TASKS_FILE).is_file():
        return Source(path.name, "jsonl", (path / TASKS_FILE,))
    for suffix in SUFFIXES:
        files = tuple(sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() == suffix))
        if files:
            return Source(path.name, f"folder of {suffix[1:]}", files)
    raise UserError(f"{source}: the folder holds no {TASKS_FILE} and no file of {', '.join(SUFFIXES)}")


def read_source(source: Source, fields: Mapping[str, str]) -> Iterator[SourceRow | BadRow]:
    """Yield the parts of a source in order; what cannot be read is yielded as `BadRow`.

    Args:
        source: as opened.
        fields: names of JSON fields by what they hold ("id", "code", "text", "shape"); others are found by name.
    """
    if source.kind == "jsonl":
        yield from _read_jsonl(source.files[0], fields)
    else:
        for path in source.files:
            yield _read_file(path)


def _read_file(path: Path) -> SourceRow | BadRow:
    if SUFFIXES[path.suffix.lower()] != "code":
        if path.stat().st_size == 0:
            return BadRow(path.name, "empty file", "0 bytes")
        return SourceRow(path.stem, path.name, shape=path)
    if path.stat().st_size > MAX_PROGRAM_BYTES:
        return BadRow(path.name, "unreadable program", f"{path.stat().st_size} bytes; at most {MAX_PROGRAM_BYTES}")
    try:
        return SourceRow(path.stem, path.name, code=path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        return BadRow(path.name, "unreadable program", str(error))


def _read_jsonl(path: Path, fields: Mapping[str, str]) -> Iterator[SourceRow | BadRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"line {number}"
            try:
                data = json.loads(line)
                if not isinstance(data, dict):
                    raise ValueError(f"a JSON object is needed; found {type(data).__name__}")
                yield _row(data, where, path.parent, fields)
            except (ValueError, RecursionError) as error:
                yield BadRow(where, "unreadable line", str(error)[:300])


def _row(data: Mapping[str, Any], where: str, folder: Path, fields: Mapping[str, str]) -> SourceRow:
    code, text, shape = (_field(data, fields, what) for what in ("code", "text", "shape"))
    if not code and not shape:
        wanted = " or ".join(fields.get(what) or "/".join(FIELD_NAMES[what]) for what in ("code", "shape"))
        raise ValueError(f"needs a program or a shape file ({wanted}); found the fields {sorted(data)}")
    file = folder / shape if shape else None
    if file is not None and (file.suffix.lower() not in SUFFIXES or not file.is_file()):
        raise ValueError(f"the shape file {shape!r} is missing or no .step, .brep or .stl file")
    identity = _field(data, fields, "id") or where.replace(" ", "-")
    return SourceRow(
        identity, where, code, {"expert": text} if text else {}, file, str(data.get("licence", data.get("license", "")))
    )


def _field(data: Mapping[str, Any], fields: Mapping[str, str], what: str) -> str:
    names = (fields[what],) if fields.get(what) else FIELD_NAMES[what]
    for name in names:
        if name in data and data[name] is not None:
            if not isinstance(data[name], (str, int)):
                raise ValueError(f"field {name!r} must be text; found {type(data[name]).__name__}")
            return str(data[name])
    if fields.get(what):
        raise ValueError(f"field {fields[what]!r} is missing; found {sorted(data)}")
    return ""
