"""Readers of structure files: CSV with a cif column, CIF, Materials Project JSON, extxyz, WyText JSONL."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sciRL.dataset_folder import sha256
from sciRL.errors import UserError

Form = Literal["cif", "wytext", "structure"]

ID_COLUMNS = ("material_id", "id", "name")
COLUMNS: dict[str, tuple[str, ...]] = {
    "e_form": ("formation_energy_per_atom", "e_form", "heat_all"),
    "e_hull": ("e_above_hull", "energy_above_hull", "e_hull"),
    "band_gap": ("band_gap", "ind_gap"),
}
"""Property columns by dataset: MP-20 and MPTS-52 use the first names, Perov-5 `heat_all` and `ind_gap`."""

SUFFIXES = (".csv", ".cif", ".json", ".jsonl", ".extxyz", ".xyz")
PROTOTYPES = "prototypes"
PROTOTYPE_FILE = Path(__file__).parent / "tables" / "prototypes.jsonl"


@dataclass(frozen=True)
class SourceRow:
    """One structure as found in a source, not yet converted.

    `payload` is CIF text, WyText with the formula line, or a pymatgen structure dictionary, as `form`
    says. Energies are eV/atom, the gap eV. `split` is the source file's own split, where its name has one.
    """

    id: str
    form: Form
    payload: str | Mapping[str, Any]
    e_form: float | None = None
    e_hull: float | None = None
    band_gap: float | None = None
    split: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Source:
    """A readable source: its kind, its files, and (lazily) its rows."""

    name: str
    kind: str
    files: tuple[Path, ...]

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows of all files in order."""
        for path in self.files:
            yield from _READERS[_suffix(path)](path)

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file, by file name."""
        return {path.name: sha256(path) for path in self.files}


def open_source(source: str) -> Source:
    """Find out what `source` is from its path and content.

    Args:
        source: a CSV(.gz), CIF, JSON(.gz), JSONL(.gz) or extxyz file, a folder of CIF or CSV files, or the word
            `prototypes` for the embedded textbook structures.

    Raises:
        UserError: nothing there, an empty folder or file, or a file type that is not read.
    """
    path = Path(source)
    if source == PROTOTYPES and not path.exists():
        return Source(PROTOTYPES, PROTOTYPES, (PROTOTYPE_FILE,))
    if not path.exists():
        raise UserError(f"{source}: no such file or folder (the embedded data set is called '{PROTOTYPES}')")
    if path.is_dir():
        return _open_folder(path)
    if _suffix(path) not in SUFFIXES:
        raise UserError(f"{source}: unsupported file type; allowed are {', '.join(SUFFIXES)}, also with .gz")
    if path.stat().st_size == 0:
        raise UserError(f"{source}: the file is empty")
    return Source(path.name, _suffix(path)[1:], (path,))


def _open_folder(path: Path) -> Source:
    for suffix in (".cif", ".csv"):
        files = sorted(file for file in path.rglob("*") if file.is_file() and _suffix(file) == suffix)
        if files:
            return Source(path.name, f"folder of {suffix[1:]}", tuple(files))
    raise UserError(f"{path}: the folder holds no .cif and no .csv file")


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _split_of(path: Path) -> str | None:
    words = path.name.lower().replace("-", "_").replace(".", "_").split("_")
    names = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
    return next((names[word] for word in words if word in names), None)


def _text(path: Path) -> io.StringIO:
    """Return the decoded text of a plain or gzipped file."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        return io.StringIO(data.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def number(value: Any) -> float | None:
    """Return a finite float, or None for blanks, NaN and text that is no number."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def _row(record: Mapping[str, Any], count: int, form: Form, payload: str | Mapping[str, Any], path: Path) -> SourceRow:
    """Make a row from a record's id and property columns; without an id it is called after its file and number."""

    def value(target: str) -> float | None:
        return next((number(record[name]) for name in COLUMNS[target] if record.get(name) not in (None, "")), None)

    return SourceRow(
        id=next((str(record[name]) for name in ID_COLUMNS if record.get(name)), f"{path.name}:{count}"),
        form=form,
        payload=payload,
        e_form=value("e_form"),
        e_hull=value("e_hull"),
        band_gap=value("band_gap"),
        split=_split_of(path),
        source=path.name,
    )


def _read_csv(path: Path) -> Iterator[SourceRow]:
    csv.field_size_limit(sys.maxsize)
    # The csv module keeps every cell as text: a formula column with "NaN" (sodium nitride) stays what it is.
    reader = csv.DictReader(_text(path))
    columns = [name for name in reader.fieldnames or [] if name]
    if not columns:
        raise UserError(f"{path}: the file is empty (a header with a 'cif' column is needed)")
    if "cif" not in columns:
        raise UserError(f"{path}: no 'cif' column; the columns found are {', '.join(columns)}")
    empty = True
    try:
        for count, record in enumerate(reader, start=1):
            empty = False
            yield _row(record, count, "cif", record["cif"] or "", path)
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: {error}") from error
    if empty:
        raise UserError(f"{path}: a header but no rows")


def _read_cif(path: Path) -> Iterator[SourceRow]:
    try:
        text = _text(path).getvalue()
    except UserError:
        # One unreadable file of many is a dropped row, not the end of the build.
        text = ""
    yield SourceRow(path.name.removesuffix(".gz").removesuffix(".cif"), "cif", text, source=path.name)


def _read_json(path: Path) -> Iterator[SourceRow]:
    try:
        content = json.load(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from error
    documents = content.get("data") if isinstance(content, dict) else content
    if not isinstance(documents, list) or not documents:
        raise UserError(f"{path}: a non-empty list of documents with a 'structure' is needed")
    for index, document in enumerate(documents):
        if not isinstance(document, dict) or not isinstance(document.get("structure"), dict):
            keys = ", ".join(document) if isinstance(document, dict) else type(document).__name__
            raise UserError(f"{path}: document {index + 1} has no 'structure'; found {keys}")
        yield _row(document, index + 1, "structure", document["structure"], path)


def _read_jsonl(path: Path) -> Iterator[SourceRow]:
    empty = True
    for index, line in enumerate(_text(path)):
        if not line.strip():
            continue
        empty = False
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: line {index + 1}: not valid JSON ({error.msg})") from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise UserError(f"{path}: line {index + 1}: an object with a 'text' (WyText with formula line) is needed")
        if "prototype" in record:
            record["id"] = f"{record['prototype']}:{record.get('formula', index + 1)}"
        yield _row(record, index + 1, "wytext", record["text"], path)
    if empty:
        raise UserError(f"{path}: no rows")


def _read_xyz(path: Path) -> Iterator[SourceRow]:
    from ase.io import iread
    from pymatgen.io.ase import AseAtomsAdaptor

    frames: Iterable[Any] = iread(_text(path), index=":", format="extxyz")
    index = 0
    try:
        for index, atoms in enumerate(frames, start=1):
            structure = AseAtomsAdaptor.get_structure(atoms).as_dict() if atoms.cell.rank == 3 else {}
            yield _row(atoms.info, index, "structure", structure, path)
    except Exception as error:
        # ase raises many types (KeyError, ValueError, XYZError) for a broken frame.
        raise UserError(f"{path}: frame {index + 1}: {error}") from error
    if index == 0:
        raise UserError(f"{path}: no frames")


_READERS = {
    ".csv": _read_csv,
    ".cif": _read_cif,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".xyz": _read_xyz,
    ".extxyz": _read_xyz,
}
