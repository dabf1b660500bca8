"""Readers of files of molecules: .smi and .txt (SMILES first in each line), .csv and .jsonl with a column of SMILES."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sciRL.errors import UserError

SUFFIXES = (".smi", ".txt", ".csv", ".jsonl")
COLUMNS = ("smiles", "canonical_smiles", "smile")
"""Names of the column of SMILES, in any case; the first that is there is read."""
COMMON = "common"
COMMON_FILE = Path(__file__).parent / "tables" / "common_molecules.jsonl"


@dataclass(frozen=True)
class SourceRow:
    """One molecule as found: the line of the file (from 1), its name or an empty text, and its SMILES."""

    line: int
    name: str
    smiles: str


def open_source(source: str) -> Path:
    """Return the file of a source.

    Args:
        source: a .smi, .txt, .csv or .jsonl file, also with .gz, or the word `common` for the embedded list.

    Raises:
        UserError: nothing there, an empty file, or a file type that is not read.
    """
    path = Path(source)
    if source == COMMON and not path.exists():
        return COMMON_FILE
    if not path.is_file():
        raise UserError(f"{source}: no such file (the embedded list is called '{COMMON}')")
    if suffix(path) not in SUFFIXES:
        raise UserError(f"{source}: unsupported file type; allowed are {', '.join(SUFFIXES)}, also with .gz")
    if path.stat().st_size == 0:
        raise UserError(f"{source}: the file is empty")
    return path


def read_rows(path: Path, column: str = "") -> Iterator[SourceRow]:
    """Yield the rows of a file.

    Args:
        path: as `open_source` returns it.
        column: the column of SMILES in a CSV or JSONL file; by default one of `COLUMNS`.

    Raises:
        UserError: a file that cannot be decoded, or has no such column.
    """
    handle = _text(path)
    if suffix(path) == ".csv":
        yield from _read_csv(path, handle, column)
    elif suffix(path) == ".jsonl":
        yield from _read_jsonl(path, handle, column)
    else:
        yield from _read_lines(handle)


def suffix(path: Path) -> str:
    """Return the file's suffix in lower case, `.gz` taken off."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _text(path: Path) -> io.StringIO:
    try:
        data = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        return io.StringIO(data.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _read_lines(handle: io.StringIO) -> Iterator[SourceRow]:
    """Read `SMILES name` lines; blank lines, lines from `#`, and a header line "smiles ..." are not molecules."""
    for line, text in enumerate(handle, start=1):
        words = text.split(maxsplit=1)
        header = line == 1 and words and words[0].lower() in COLUMNS
        if words and not words[0].startswith("#") and not header:
            yield SourceRow(line, words[1].strip() if len(words) > 1 else "", words[0])


def _column(path: Path, columns: list[str], asked: str) -> str:
    wanted = (asked,) if asked else COLUMNS
    for name in wanted:
        for column in columns:
            if column.lower() == name.lower():
                return column
    raise UserError(f"{path}: no column {' or '.join(wanted)}; found {', '.join(columns) or 'none'}")


def _name(record: dict[str, object]) -> str:
    lower = {str(key).lower(): value for key, value in record.items()}
    return next((str(lower[key]) for key in ("name", "id", "title", "zinc_id", "chembl_id") if lower.get(key)), "")


def _read_csv(path: Path, handle: io.StringIO, asked: str) -> Iterator[SourceRow]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(handle)
    column = _column(path, [name for name in reader.fieldnames or [] if name], asked)
    try:
        for record in reader:
            yield SourceRow(reader.line_num, _name(record), (record[column] or "").strip())
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: {error}") from error


def _read_jsonl(path: Path, handle: io.StringIO, asked: str) -> Iterator[SourceRow]:
    for line, text in enumerate(handle, start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except ValueError as error:
            raise UserError(f"{path}: line {line}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}: line {line}: an object is needed; found {type(record).__name__}")
        column = _column(path, list(record), asked)
        yield SourceRow(line, _name(record), str(record[column]).strip())
