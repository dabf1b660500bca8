"""Meter: from the bytes a program shipped to plain numbers, in a process that never ran the program.

Only what the request wants is measured. A shape that is no sound part is its program's failure (`ScriptFailure`); a
reference that cannot be used is ours, and any other exception says so.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from domains.cad.checking import FRAME_GAIN
from domains.cad.drawing.hidden_line import hidden_line_svg
from domains.cad.kernel.alignment import aligned_overlap
from domains.cad.kernel.chamfer import chamfer
from domains.cad.kernel.columns import OpenSurfaceError
from domains.cad.kernel.features import find_bosses, find_holes
from domains.cad.kernel.iou import overlap
from domains.cad.kernel.lengths import find_lengths
from domains.cad.kernel.mesh_formats import glb_bytes, npz_bytes, stl_bytes
from domains.cad.kernel.part import Part, read_reference
from domains.cad.kernel.solids import Solids, brep_bytes, read_brep, read_step, sound_solids
from domains.cad.kernel.tessellation import DRAWN, MEASURED
from sciRL.errors import UserError
from sciRL.verification.sandbox.blame import payload_alone
from sciRL.verification.sandbox.failure import ScriptFailure

OVERLAPS = ("iou", "aligned", "frame")
COMPARISONS = (*OVERLAPS, "chamfer")
MEASURES = ("solid", "holes", "lengths", *COMPARISONS)
MESH_FILES = ("stl", "glb", "mesh")
MESH_AREA_SLACK = 0.05
"""How much of its area a shape's mesh may lack, as a share: curved faces lose up to 0.5 %."""


def measure(
    payload: bytes, request: Mapping[str, Any], blobs: tuple[bytes, ...]
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """Return the measurements of a shipped shape, in mm, and the files that were asked for.

    Args:
        payload: B-rep bytes from the program's process; not trusted.
        request: `want` (of `MEASURES` and `FILES`), `reference` (None, or `kind` and the number of its `blob`),
            `single` (whether the part must be one solid), `payload` (the kind of its bytes, by default "brep"), `seed`
            of sampled figures, and `iou_budget_s`, the seconds an exact overlap may be expected to take (0: always
            estimate).
        blobs: the reference's bytes.

    Raises:
        ScriptFailure: the shape is no sound part.
        UserError: a request for something that is not measured, or a reference that cannot be used.

    Example: for a cube of side 10 and ``{"want": ["solid"], "single": True, ...}`` the volume is
    ``measurements["solid"]["volume"] == 1000`` (to 1e-12).
    """
    want = list(request["want"])
    unknown = [name for name in want if name not in MEASURES and name not in FILES]
    if unknown:
        raise UserError(f"want: found {unknown[0]!r}; allowed are {', '.join((*MEASURES, *FILES))}")
    reference = _reference(request, blobs)
    needy = [name for name in want if name in COMPARISONS]
    if needy and reference is None:
        raise UserError(f"want: {needy[0]!r} needs a reference; found none")
    with _payload_to_blame():
        part = _payload_part(payload, request)
        if any(name in want for name in (*COMPARISONS, *MESH_FILES)):
            _require_mesh(part)
        if any(name in want for name in OVERLAPS) and float(request["iou_budget_s"]) <= 0:
            part.mesh(MEASURED)  # The estimate will ask for it, then with the reference in hand.
        measured = _alone(part, want)
    if reference is not None:
        measured["reference"] = _alone(reference, want)
        measured |= _compared(part, reference, want, request)
    names = [name for name in want if name in FILES]
    measured["blobs"] = names
    return measured, tuple(FILES[name](part) for name in names)


@contextmanager
def _payload_to_blame() -> Iterator[None]:
    """Make all that the kernel does to a payload alone the failure of its program: exceptions, crashes, loops."""
    with payload_alone():
        try:
            yield
        except MemoryError:
            raise ScriptFailure("memory", "the shape takes more memory to measure than is allowed") from None
        except Exception as error:
            # The kernel's exceptions share no base class; those of our own code stay our failure.
            if not type(error).__module__.startswith("OCP."):
                raise
            raise ScriptFailure("invalid", f"the kernel fails on the shape: {type(error).__name__}: {error}") from None


def _payload_part(payload: bytes, request: Mapping[str, Any]) -> Part:
    """Read what is to be measured: a program's B-rep or, where the request names another kind, a file."""
    kind = request.get("payload", "brep")
    if kind == "stl":
        try:
            return read_reference(kind, payload)
        except UserError as error:
            raise ScriptFailure("invalid", str(error)) from None
    shape = read_brep(payload) if kind == "brep" else read_step(payload)
    return Part(sound_solids(shape, bool(request["single"])))


def _reference(request: Mapping[str, Any], blobs: Sequence[bytes]) -> Part | None:
    named = request.get("reference")
    return None if named is None else read_reference(named["kind"], blobs[named["blob"]])


def _alone(part: Part, want: Sequence[str]) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    if "solid" in want:
        measured["solid"] = part.to_json()
    if "holes" in want and part.solids is not None:
        measured["holes"] = [hole.to_json() for solid in part.solids.solids for hole in find_holes(solid)]
        measured["bosses"] = [boss.to_json() for solid in part.solids.solids for boss in find_bosses(solid)]
    if "lengths" in want and part.solids is not None:
        measured["lengths"] = sorted({length for solid in part.solids.solids for length in find_lengths(solid)})
    return measured


def _compared(part: Part, reference: Part, want: Sequence[str], request: Mapping[str, Any]) -> dict[str, Any]:
    budget_s, seed = float(request["iou_budget_s"]), int(request["seed"])
    measured: dict[str, Any] = {}
    try:
        if "iou" in want or "frame" in want:
            measured["iou"] = overlap(part, reference, budget_s, seed).to_json()
        if "frame" in want:
            measured["frame"] = _frame(part, reference, measured["iou"]["value"], request)
        if "aligned" in want:
            measured["aligned"] = aligned_overlap(part, reference, budget_s, seed).to_json()
    except OpenSurfaceError as error:
        if error.body == 0:
            raise ScriptFailure("invalid", str(error)) from None
        raise UserError(f"reference: {error}") from None
    if "chamfer" in want:
        measured["chamfer"] = chamfer(part.mesh(DRAWN), reference.mesh(DRAWN), seed).to_json()
    return measured


def _frame(part: Part, reference: Part, raw: float, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overlap after the best rotation where that could exceed `raw` by enough to matter, else `raw`.

    No rotation overlaps by more than the ratio of the volumes, so most parts need not be turned at all.
    """
    small, large = sorted((part.volume, reference.volume))
    if small / large - raw <= FRAME_GAIN:
        return {"value": raw, "turned": False}
    turned = aligned_overlap(part, reference, float(request["iou_budget_s"]), int(request["seed"]))
    return {"value": turned.value, "turned": True}


def _require_mesh(part: Part) -> None:
    """Mesh a payload before anything needs it, so that one that cannot be meshed is its program's failure."""
    if part.solids is None:
        return
    try:
        found = part.mesh(DRAWN).area
    except ValueError as error:
        raise ScriptFailure("invalid", str(error)) from None
    area = part.solids.area
    if abs(found - area) > MESH_AREA_SLACK * area:
        raise ScriptFailure("invalid", f"the mesh of the shape has {found:.6g} mm^2 of its {area:.6g}")


def _brep(part: Part) -> bytes:
    return brep_bytes(_solids(part).shape)


def _step(part: Part) -> bytes:
    from OCP.IFSelect import IFSelect_RetDone
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    writer, stream = STEPControl_Writer(), io.BytesIO()
    writer.Transfer(_solids(part).shape, STEPControl_AsIs)
    if writer.WriteStream(stream) != IFSelect_RetDone:
        raise ScriptFailure("invalid", "the shape cannot be written as STEP")
    return stream.getvalue()


def _svg(part: Part) -> bytes:
    from cadquery import Shape

    return hidden_line_svg(Shape.cast(_solids(part).shape), sizes=part.to_json()["box"]).encode()


def _solids(part: Part) -> Solids:
    if part.solids is None:
        raise UserError("want: a B-rep, STEP file or drawing needs solids; found a mesh")
    return part.solids


FILES: dict[str, Callable[[Part], bytes]] = {
    "brep": _brep,
    "step": _step,
    "stl": lambda part: stl_bytes(part.mesh(DRAWN)),
    "glb": lambda part: glb_bytes(part.mesh(DRAWN)),
    "mesh": lambda part: npz_bytes(part.mesh(DRAWN)),
    "svg": _svg,
}
"""Files of a part, by the name a request asks for them with."""
