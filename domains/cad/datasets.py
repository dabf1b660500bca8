"""Dataset builder: programs and shape files to a folder of parts that were built, measured and split, with a manifest.

Every program runs in the sandbox and every shape is measured by the meter, so what a dataset says of a part was seen:
its volume, box and holes become the spec that answers are checked against.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domains.cad.checking import describe_spec, spec_from
from domains.cad.options import CadOptions
from domains.cad.pictures import draw_rows
from domains.cad.rows import IMPORTED, REFERENCES, CadRow
from domains.cad.rubrics import make_workshop
from domains.cad.screen import Refusal, screen
from domains.cad.sources import SUFFIXES, BadRow, Source, SourceRow, open_source, read_source
from domains.cad.workshop import PartReport, Workshop
from sciRL.dataset_folder import (
    SPLITS,
    across_splits,
    as_lines,
    parse_build_settings,
    refuse_existing,
    seeded_order,
    write_folder,
)
from sciRL.domain import BuildReport
from sciRL.errors import UserError

BUILDER_VERSION = 1
LISTED = 50
"""How many dropped rows the manifest lists for each reason."""

LICENCES = {
    "generated": "Made by the part generator of this project; Apache-2.0 as the code.",
    "default": "The licence of the source applies.",
}


class BuildSettings(BaseModel):
    """Options of `scirl data build cad`, given as key=value."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    """Seed of the generator, the split and the row order."""

    count: int = Field(default=2000, ge=10, le=1_000_000)
    """Training parts that the generator makes; a tenth as many for validation and for test."""

    families: str = ""
    """Part families of the generator, separated by commas; empty takes all."""

    held_out: Literal["interpolation", "extrapolation"] = "interpolation"
    """Parameter ranges of the generator's held-out parts: between those of training, or beyond them."""

    reference: Literal["auto", "code", "file"] = "auto"
    """What a part is judged against where a source has both; auto takes the file."""

    id_field: str = ""
    """Field of JSON lines that holds the id."""

    code_field: str = ""
    """Field of JSON lines that holds the program."""

    text_field: str = ""
    """Field of JSON lines that holds the description."""

    shape_field: str = ""
    """Field of JSON lines that holds the path of the shape file."""

    images: bool = False
    """Whether a picture of every reference is drawn (four views, PNG); generated parts are then built as well."""

    single_solid: bool = False
    """Whether parts of several solids are dropped."""

    workers: int = Field(default=2, ge=1, le=256)
    """Programs that run at the same time."""

    unsafe_sandbox: bool = False
    """Whether programs may run where the system offers no strong isolation."""

    limit: int = Field(default=0, ge=0)
    """Read only the first rows of the source; 0 reads all."""

    overwrite: bool = False
    """Whether an existing dataset folder may be replaced."""

    def fields(self) -> dict[str, str]:
        """Return the named JSON fields by what they hold."""
        return {name: getattr(self, f"{name}_field") for name in ("id", "code", "text", "shape")}


@dataclass
class Collected:
    """Rows of a build, the reference files they need, and what was left out."""

    rows: list[CadRow] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    read: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    operations: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, where: str, detail: str) -> None:
        """Count one dropped row and list it while there is room."""
        self.counts[reason] += 1
        if len(self.listed[reason]) < LISTED:
            self.listed[reason].append(f"{where}: {detail}"[:300])


def build(source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
    """Turn a source into a dataset folder, written aside and renamed when complete.

    Args:
        source: see `sources`.
        out: the dataset folder to make.
        options: fields of `BuildSettings` as text.

    Raises:
        UserError: unreadable source, bad option, no usable row, `out` exists already, CadQuery is missing, or the
            system offers no strong sandbox.
    """
    settings = parse_build_settings(BuildSettings, options)
    opened = open_source(source)
    out = Path(out)
    refuse_existing(out, settings.overwrite)
    if opened.kind == "generated":
        collected, parts = _generated(settings)
    else:
        collected = _collect(opened, settings)
        parts = split_by_group(collected.rows, settings.seed)
    if settings.images:
        parts = _with_pictures(parts, collected, settings)
    if not collected.rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in collected.counts.most_common())
        raise UserError(f"{source}: none of the {collected.read} rows can be used: {reasons or 'there are none'}")
    files: dict[str, str | bytes] = {f"{split}.jsonl": as_lines(rows) for split, rows in parts.items()}
    write_folder(out, {**files, **collected.files}, _manifest(opened, settings, parts, collected))
    sizes = {split: len(rows) for split, rows in parts.items()}
    examples = [row.code or row.id for row in collected.rows[:2]]
    return BuildReport(out, collected.read, sum(sizes.values()), dict(collected.counts), sizes, examples)


def _generated(settings: BuildSettings) -> tuple[Collected, dict[str, list[CadRow]]]:
    from domains.cad.parts.rows import generate_rows

    families = tuple(name.strip() for name in settings.families.split(",") if name.strip())
    held_out = max(1, settings.count // 10)
    taken: set[str] = set()
    parts = {
        split: generate_rows(
            families,
            "train" if split == "train" else settings.held_out,
            settings.count if split == "train" else held_out,
            f"{settings.seed} {split}",
            taken,
        )
        for split in SPLITS
    }
    rows = [row for part in parts.values() for row in part]
    collected = Collected(rows, read=len(rows))
    for row in rows:
        collected.operations.update(operations(row.code))
    return collected, parts


def _collect(opened: Source, settings: BuildSettings) -> Collected:
    """Read, build and measure every row of a source."""
    collected = Collected()
    found: list[SourceRow] = []
    codes: dict[str, str] = {}
    for row in read_source(opened, settings.fields()):
        if settings.limit and collected.read == settings.limit:
            break
        collected.read += 1
        if isinstance(row, BadRow):
            collected.drop(row.reason, row.where, row.detail)
        elif row.code and row.code in codes and row.shape is None:
            collected.drop("duplicate program", row.where, f"the program of {codes[row.code]}")
        else:
            codes.setdefault(row.code, row.where)
            found.append(row)
    signatures: dict[str, str] = {}
    for row, report in zip(found, _measure(found, settings), strict=True):
        if report.code != "ok":
            collected.drop(report.code, row.where, report.message)
            continue
        try:
            made, content = _made(row, report, settings)
        except UserError as error:
            collected.drop("measures contradict each other", row.where, str(error))
            continue
        if row.shape is None and made.group in signatures:
            collected.counts["same shape as another row (kept)"] += 1
        signatures.setdefault(made.group, row.where)
        if content is not None:
            collected.files[made.shape["path"]] = content
        collected.operations.update(operations(row.code))
        collected.rows.append(made)
    return collected


def _with_pictures(
    parts: Mapping[str, Sequence[CadRow]], collected: Collected, settings: BuildSettings
) -> dict[str, list[CadRow]]:
    """Return the splits with a picture for every row; rows that cannot be drawn are dropped."""
    workshop = _workshop(settings)
    placed = [(split, row) for split, rows in parts.items() for row in rows]
    drawn: dict[str, list[CadRow]] = {split: [] for split in parts}
    pictures = draw_rows([row for _, row in placed], collected.files, workshop)
    for (split, _), (row, picture) in zip(placed, pictures, strict=True):
        if isinstance(picture, bytes):
            collected.files[row.image] = picture
            drawn[split].append(row)
        else:
            collected.drop(f"not drawn: {picture.code}", row.source, picture.message)
    collected.rows = [row for rows in drawn.values() for row in rows]
    return drawn


def _measure(rows: Sequence[SourceRow], settings: BuildSettings) -> list[PartReport]:
    workshop = _workshop(settings)
    shapes = [row.shape if _uses_file(row, settings) else None for row in rows]
    return workshop.survey([(row.code, shape) for row, shape in zip(rows, shapes, strict=True)])


def _workshop(settings: BuildSettings) -> Workshop:
    options = CadOptions(
        single_solid=settings.single_solid,
        sandbox_workers=settings.workers,
        unsafe_sandbox=settings.unsafe_sandbox,
        prompt_style="compact",
    )
    return make_workshop(None, options, ("solid", "holes"))


def _uses_file(row: SourceRow, settings: BuildSettings) -> bool:
    if settings.reference == "code" and not row.code:
        raise UserError(f"{row.where}: reference=code, but the row has no program")
    if settings.reference == "file" and row.shape is None:
        raise UserError(f"{row.where}: reference=file, but the row has no shape file")
    return row.shape is not None and settings.reference != "code"


def _made(row: SourceRow, report: PartReport, settings: BuildSettings) -> tuple[CadRow, bytes | None]:
    """Return the dataset row of a measured part and, where the reference is a file, its content."""
    content: bytes | None = None
    if _uses_file(row, settings):
        assert row.shape is not None
        content = row.shape.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        kind = SUFFIXES[row.shape.suffix.lower()]
        shape = {"kind": kind, "path": f"{REFERENCES}/{digest[:16]}.{kind}", "sha256": digest}
    else:
        shape = {"kind": "code", "text": row.code}
    spec = spec_from(report.measurements)
    made = CadRow(
        id=row.id,
        family=IMPORTED,
        group=signature(report.measurements),
        shape=shape,
        spec=spec.to_json(),
        # What was measured says what is asked where the source has no words.
        texts=dict(row.texts) or {"expert": describe_spec(spec)},
        code=row.code,
        source=row.where,
        licence=row.licence,
    )
    return made, content


def signature(measurements: Mapping[str, Any]) -> str:
    """Return a key that equal shapes share wherever they stand: volume, area and sorted box to six digits."""
    solid = measurements["solid"]
    numbers = [solid["volume"], solid["area"], *sorted(solid["box"])]
    return hashlib.sha256(" ".join(f"{number:.5e}" for number in numbers).encode()).hexdigest()[:16]


def operations(code: str) -> Counter[str]:
    """Return how often a program calls each method, by name."""
    tree = screen(code)
    if isinstance(tree, Refusal):
        return Counter()
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return Counter(call.attr for call in calls if isinstance(call, ast.Attribute))


def split_by_group(rows: Sequence[CadRow], seed: int) -> dict[str, list[CadRow]]:
    """Deal whole groups (equal shapes) to the splits, about 80/10/10, in an order drawn by `seed`.

    With fewer than three groups everything trains.
    """
    groups = sorted({row.group for row in rows}, key=lambda group: seeded_order(seed, group))
    held_out = max(1, round(len(groups) / 10)) if len(groups) >= 3 else 0
    where = {
        group: "test" if rank < held_out else "validation" if rank < 2 * held_out else "train"
        for rank, group in enumerate(groups)
    }
    parts: dict[str, list[CadRow]] = {split: [] for split in SPLITS}
    for row in sorted(rows, key=lambda row: seeded_order(seed, row.id)):
        parts[where[row.group]].append(row)
    return parts


def _manifest(
    opened: Source, settings: BuildSettings, parts: Mapping[str, Sequence[CadRow]], collected: Collected
) -> dict[str, Any]:
    shared = across_splits(parts, lambda row: row.group)
    rows = collected.rows
    lengths = sorted(len(row.code) for row in rows if row.code)
    return {
        "domain": "cad",
        "builder_version": BUILDER_VERSION,
        "source": {"name": opened.name, "kind": opened.kind, "sha256": opened.hashes()},
        "settings": settings.model_dump(exclude={"workers", "overwrite"}),
        "rows_read": collected.read,
        "rows": {split: len(part) for split, part in parts.items()},
        "dropped": {
            reason: {"count": count, "rows": collected.listed[reason]}
            for reason, count in sorted(collected.counts.items())
        },
        "families": dict(sorted(Counter(row.family for row in rows).items())),
        "distinct_shapes": len({row.group for row in rows}),
        "reference": dict(Counter(row.shape["kind"] for row in rows)),
        "characters_of_code": {
            f"p{share}": lengths[min(len(lengths) - 1, len(lengths) * share // 100)] for share in (10, 50, 90, 99)
        }
        if lengths
        else {},
        "operations": dict(collected.operations.most_common(40)),
        "licences": dict(Counter(row.licence or "as the source" for row in rows)),
        "split_by": "parameter range" if opened.kind == "generated" else "shape",
        "groups_across_splits": {"count": len(shared), "first": shared[:LISTED]},
        "licence": LICENCES.get(opened.kind, LICENCES["default"]),
    }
