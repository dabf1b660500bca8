"""Pictures of a dataset's parts: each reference is built in the sandbox, meshed by the meter, and drawn on a sheet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from domains.cad.drawing.sheet import sheet_png
from domains.cad.drawing.triangles import TriangleMesh
from domains.cad.rows import IMAGES, CadRow
from domains.cad.workshop import Workshop
from sciRL.verification.sandbox.outcome import Job, Outcome

TOGETHER = 200
"""Parts that are built before they are drawn, so that not all meshes are in memory."""

_REQUEST = {"reference": None, "want": ["mesh"], "seed": 0, "iou_budget_s": 0.0, "single": False}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def draw_rows(
    rows: Sequence[CadRow], files: Mapping[str, bytes], workshop: Workshop
) -> Iterator[tuple[CadRow, bytes | Outcome]]:
    """Yield every row with its picture (PNG), named by `row.image`, or with what became of a part that was not drawn.

    Args:
        rows: of all splits.
        files: the reference files by the paths that rows name.
        workshop: gives the sandbox.
    """
    taken: set[str] = set()
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        for row, outcome in zip(some, workshop.pool.run([_job(row, files) for row in some]), strict=True):
            if outcome.code != "ok":
                yield row, outcome
                continue
            picture = sheet_png(TriangleMesh.from_npz(outcome.blobs[0]))
            yield replace(row, image=f"{IMAGES}/{_name(row.id, taken)}.png"), picture


def _job(row: CadRow, files: Mapping[str, bytes]) -> Job:
    if row.shape["kind"] == "code":
        return Job(row.shape["text"], _REQUEST)
    return Job("", {**_REQUEST, "payload": row.shape["kind"]}, payload=files[row.shape["path"]])


def _name(identity: str, taken: set[str]) -> str:
    """Return the row's id as a file name, or a hash of it where it cannot be one or is taken already."""
    name, number = identity, 0
    while name.casefold() in taken or not _FILE_NAME.fullmatch(name):
        name = hashlib.sha256(f"{number} {identity}".encode(errors="replace")).hexdigest()[:16]
        number += 1
    taken.add(name.casefold())
    return name
