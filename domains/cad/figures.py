"""The report's figures of the CAD domain: what became of attempts, how well parts fit, and parts to turn."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from domains.cad.drawing.charts import failure_histogram, overlap_curves, reward_bars, size_error_chart
from domains.cad.drawing.downloads import MIME_TYPES, download_link
from domains.cad.drawing.overlay import overlay_html
from domains.cad.drawing.shading import png_bytes, render
from domains.cad.drawing.triangles import TriangleMesh
from domains.cad.options import CadOptions
from domains.cad.rubrics import make_workshop
from domains.cad.workshop import Workshop
from sciRL.domain import Figure, Record
from sciRL.errors import UserError

SHOWN = 3
"""Parts that are shown for turning: the best, a middling and the worst that is sound."""
DOWNLOADS = ("glb", "step", "stl")


def make_figures(arms: Mapping[str, Sequence[Record]], data: Path, options: CadOptions) -> list[Figure]:
    """Return the figures; parts are built again in the sandbox, and left out where there is no kernel or sandbox."""
    figures = [
        Figure(
            "What became of the attempts",
            "Share of all attempts of an arm that ended with each code; ok is a sound solid.",
            failure_histogram({arm: Counter(_code(record) for record in records) for arm, records in arms.items()}),
        ),
        Figure(
            "Overlap with the reference",
            "Share of all attempts whose overlap (intersection over union, as the parts stand) is at least x; "
            "an attempt that gave no sound solid never is.",
            overlap_curves(_measured(arms, "iou"), {arm: len(records) for arm, records in arms.items()}),
        ),
        Figure(
            "Errors of size",
            "Share of all attempts whose box (largest error of the three axes) and volume are within a relative error.",
            size_error_chart("box", _size_errors(arms, "xyz"), _attempts(arms))
            + size_error_chart("volume", _size_errors(arms, ("volume",)), _attempts(arms)),
        ),
        Figure("Verifiers", "Mean of each verifier's score over all attempts.", reward_bars(_components(arms))),
    ]
    return figures + _parts(arms, data, options)


def _parts(arms: Mapping[str, Sequence[Record]], data: Path, options: CadOptions) -> list[Figure]:
    """Draw sound parts of the last arm that has any: the arms stand in the order of the run, controls last."""
    chosen = next(
        ((arm, sound) for arm, records in arms.items() if arm in ("grpo", "dpo") and (sound := _sound(records))),
        next(((arm, sound) for arm, records in arms.items() if (sound := _sound(records))), None),
    )
    if chosen is None:
        return []
    arm, sound = chosen
    ordered = sorted(sound, key=lambda record: -float(record.score.measurements.get("iou", 0.0)))
    picked = [ordered[round(i * (len(ordered) - 1) / max(1, SHOWN - 1))] for i in range(min(SHOWN, len(ordered)))]
    workshop = make_workshop(data, options, ("solid",))
    try:
        bodies = [_part(workshop, record, with_files=index == 0) for index, record in enumerate(picked)]
    except (UserError, ImportError) as error:
        return [Figure("Parts", f"Not drawn: {error}", "")]
    caption = (
        f"From arm {arm}: the best, a middling and the worst of its sound parts, over their references. "
        "Drag to turn, scroll to zoom. The best can be downloaded."
    )
    return [Figure("Parts over their references", caption, "".join(bodies))]


def _part(workshop: Workshop, record: Record, with_files: bool) -> str:
    """Return one part: picture, viewer over its reference, what was asked, and downloads."""
    want = ("solid", "mesh", "svg", *(DOWNLOADS if with_files else ()))
    report, blobs = workshop.blobs(record.task, record.answer, want)
    if report.code != "ok":
        raise UserError(f"a part of the evaluation was not built again: {report.code}: {report.message}")
    mesh = TriangleMesh.from_npz(blobs["mesh"])
    reference = workshop.reference_blobs(record.task, ("solid", "mesh"))
    truth = TriangleMesh.from_npz(reference["mesh"]) if "mesh" in reference else None
    iou = record.score.measurements.get("iou")
    title = record.task.metadata.get("family", "part") + ("" if iou is None else f", overlap {float(iou):.3f}")
    picture = base64.b64encode(png_bytes(render(mesh.vertices, mesh.triangles))).decode()
    links = " ".join(
        download_link(f"part.{name}", blobs[name], MIME_TYPES[name]) for name in DOWNLOADS if name in blobs
    )
    return (
        f"<section>{overlay_html(mesh, truth, title, prediction_size=report.measurements['solid']['box'])}"
        f'<img alt="shaded view of the part" width="400" src="data:image/png;base64,{picture}">'
        f"{blobs['svg'].decode()}<pre>{escape(record.task.text)}\n\n{escape(record.answer)}</pre>{links}</section>"
    )


def _sound(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if _code(record) == "ok"]


def _code(record: Record) -> str:
    if not record.score.scorable:
        return "meter_timeout" if record.score.status.value == "timeout" else "sandbox_error"
    return str(record.score.measurements.get("code", "no_code"))


def _attempts(arms: Mapping[str, Sequence[Record]]) -> dict[str, int]:
    return {arm: len(records) for arm, records in arms.items()}


def _measured(arms: Mapping[str, Sequence[Record]], name: str) -> dict[str, list[float]]:
    return {
        arm: [float(r.score.measurements[name]) for r in records if name in r.score.measurements]
        for arm, records in arms.items()
    }


def _size_errors(arms: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, list[float]]:
    return {
        arm: [
            max(float(record.score.measurements["size_errors"][name]) for name in names)
            for record in records
            if "size_errors" in record.score.measurements
        ]
        for arm, records in arms.items()
    }


def _components(arms: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for arm, records in arms.items():
        names = dict.fromkeys(name for record in records for name in record.score.components)
        means[arm] = {n: sum(r.score.components.get(n, 0.0) for r in records) / len(records) for n in names}
    return means
