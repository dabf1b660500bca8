"""A part beside its reference in three dimensions: a block of HTML that turns by dragging and fetches nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.cad.drawing.shading import AMBIENT, HEAD, KEY, KEY_LIGHT
from domains.cad.drawing.triangles import TriangleMesh
from domains.cad.drawing.view import FRONT, ISOMETRIC, TOP
from sciRL.errors import UserError

VIEWS = (ISOMETRIC, TOP, FRONT)
DEFAULT_MESH_BYTES = 160_000
"""Of one mesh before base64: some 8,900 triangles."""

_SCRIPTS = ("mesh", "gl_painter", "canvas_painter", "part_viewer")
_HERE = Path(__file__).parent / "scripts"
_COLOURS = {"prediction": "var(--series-1,#1f6fb2)", "reference": "var(--series-2,#d2691e)"}
_ROW = "display:flex;flex-wrap:wrap;gap:4px 14px;align-items:center;margin:4px 0"


def overlay_html(
    prediction: TriangleMesh,
    reference: TriangleMesh | None = None,
    title: str = "Part",
    *,
    prediction_size: Sequence[float] | None = None,
    reference_size: Sequence[float] | None = None,
    max_mesh_bytes: int = DEFAULT_MESH_BYTES,
    height: int = 340,
) -> str:
    """Return the viewer of a part, with buttons for the prediction, the reference and both when there is one.

    In "both" the reference is translucent: what it alone has shows in its colour, and where the surfaces coincide the
    prediction's is in front. Any number of viewers, equal ones too, can stand in one page; they share a WebGL context,
    and paint on a plain canvas where there is none.

    Args:
        prediction, reference: meshes in mm; larger ones than `max_mesh_bytes` are coarsened.
        title: shown above, any text.
        prediction_size, reference_size: the box [x, y, z] in mm to write, by default the mesh's, which for round parts
            is smaller than the solid's by the tessellation error.
        max_mesh_bytes: of each mesh, before base64 adds a third.
        height: of the picture in CSS pixels.

    Raises:
        UserError: a size that is not three finite numbers, or a mesh that cannot be coarsened so far.
    """
    parts: dict[str, dict[str, Any] | None] = {
        "prediction": _packed(prediction, prediction_size, max_mesh_bytes),
        "reference": None,
    }
    if reference is not None:
        parts["reference"] = _packed(reference, reference_size, max_mesh_bytes)
    views = [{"azimuth": view.azimuth, "elevation": view.elevation} for view in VIEWS]
    light = {"ambient": AMBIENT, "key": KEY, "head": HEAD, "towards": [round(float(part), 6) for part in KEY_LIGHT]}
    data = json.dumps({**parts, "views": views, "light": light}, separators=(",", ":"))
    code = "".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    # The script finds its block as its own parent: no id that another viewer of the page could have as well.
    return (
        '<div class="part-viewer" style="font:13px system-ui,sans-serif;color:var(--ink,#1c2530)">'
        f"{_markup(title, parts, height)}<script>(() => {{\n{code}"
        f"showPart(document.currentScript.parentElement, {data});\n}})();</script></div>"
    )


def size_text(size: Sequence[float]) -> str:
    """Return a box as text, to a hundredth of a millimetre.

    Example:
        >>> size_text([60.0, 59.98765, 8])
        '60 × 59.99 × 8 mm'
    """
    return " × ".join(millimetres(length) for length in size) + " mm"


def millimetres(length: float) -> str:
    """Return a length to a hundredth of a millimetre, without zeros at its end.

    Example:
        >>> millimetres(12.5), millimetres(-0.001)
        ('12.5', '0')
    """
    text = f"{length:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _markup(title: str, parts: Mapping[str, Any], height: int) -> str:
    swatches = "".join(
        f'<span><i style="display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px;'
        f'background:{_COLOURS[name]}"></i>{name} {size_text(part["size"])}</span>'
        for name, part in parts.items()
        if part
    )
    shown = [*(name for name, part in parts.items() if part), "both"] if parts["reference"] else []
    buttons = "".join(
        f'<button type="button" data-show="{name}" aria-pressed="false">{name}</button>' for name in shown
    )
    looks = "".join(f'<button type="button" data-look>{view.name}</button>' for view in VIEWS)
    return (
        "<style>.part-viewer button{font:inherit;padding:1px 9px;border:1px solid var(--grid,#cfd6de);"
        "border-radius:5px;background:none;color:inherit;cursor:pointer}"
        ".part-viewer button[aria-pressed=true]{background:var(--ink,#1c2530);color:var(--paper,#fff)}</style>"
        f'<div style="{_ROW}"><b>{escape(title)}</b><span style="display:inline-flex;gap:4px">{buttons}</span>'
        f'<span style="display:inline-flex;gap:4px">{looks}</span></div>'
        f'<canvas data-role="view" tabindex="0" role="img" aria-label="{escape(title)} in three dimensions; turn with '
        f'the arrow keys, zoom with plus and minus" style="width:100%;height:{height}px;display:block;'
        f'touch-action:none;cursor:grab"></canvas><div style="{_ROW};color:var(--soft,#5b6875)">{swatches}'
        "<span>drag to turn, wheel to zoom</span></div>"
        "<noscript>This figure needs JavaScript; nothing is fetched.</noscript>"
    )


def _packed(mesh: TriangleMesh, size: Sequence[float] | None, max_bytes: int) -> dict[str, Any]:
    low, high = mesh.box
    written = np.asarray(high - low if size is None else size, dtype=np.float64)
    if written.shape != (3,) or not np.isfinite(written).all():
        raise UserError(f"viewer: a size must be three finite numbers in mm; found {size!r}")
    thin = mesh.thinned(max_bytes)
    return {
        "vertices": _base64(thin.vertices.astype("<f4")),
        "triangles": _base64(thin.triangles.astype("<i4")),
        "size": [float(length) for length in written],
        "labels": [f"{axis} {millimetres(length)} mm" for axis, length in zip("XYZ", written, strict=True)],
    }


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
