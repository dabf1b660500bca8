"""The viewer embeds the mesh, fetches nothing, clashes with no other viewer, and paints as the shaded picture does."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domains.cad.drawing import overlay
from domains.cad.drawing.overlay import millimetres, overlay_html, size_text
from domains.cad.drawing.shading import AMBIENT, HEAD, KEY, KEY_LIGHT, render
from domains.cad.drawing.view import ISOMETRIC
from sciRL.errors import UserError

HOSTILE = '</script><img src=x onerror="alert(1)">'
SCRIPTS = Path(overlay.__file__).parent / "scripts"
NODE = shutil.which("node")


class Elements(HTMLParser):
    """Counts elements, and keeps ids, addresses and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.buttons: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href"):
                self.addresses.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "button":
            self.buttons.append(data)
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data + " "


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r"showPart\(document\.currentScript\.parentElement, (\{.*\})\);", html)
    assert found
    return json.loads(found.group(1))


def test_it_embeds_the_mesh(box) -> None:
    mesh = box((0, 0, 0), (60, 40, 8))
    part = data_of(overlay_html(mesh))["prediction"]
    vertices = np.frombuffer(base64.b64decode(part["vertices"]), "<f4").reshape(-1, 3)
    triangles = np.frombuffer(base64.b64decode(part["triangles"]), "<i4").reshape(-1, 3)
    assert vertices.min(axis=0).tolist() == [0, 0, 0]
    assert vertices.max(axis=0).tolist() == [60, 40, 8]
    assert (len(vertices), len(triangles)) == (8, 12)
    assert part["labels"] == ["X 60 mm", "Y 40 mm", "Z 8 mm"]


def test_buttons_are_there_for_what_there_is(box) -> None:
    mesh = box((0, 0, 0), (60, 40, 8))
    alone, beside = Elements(overlay_html(mesh)), Elements(overlay_html(mesh, mesh))
    views = ["isometric", "top", "front"]
    assert alone.buttons == views
    assert beside.buttons == ["prediction", "reference", "both", *views]
    assert data_of(overlay_html(mesh))["reference"] is None


def test_sizes_can_be_the_solids_own(torus) -> None:
    html = overlay_html(torus(30, 12), prediction_size=[80, 80, 20])
    assert "prediction 80 × 80 × 20 mm" in Elements(html).text
    assert data_of(html)["prediction"]["labels"][2] == "Z 20 mm"


def test_a_title_is_only_text(box) -> None:
    mesh = box((0, 0, 0), (1, 1, 1))
    plain, hostile = Elements(overlay_html(mesh, title="plain")), Elements(overlay_html(mesh, title=HOSTILE))
    assert hostile.tags == plain.tags
    assert HOSTILE in hostile.text


def test_nothing_is_fetched_and_equal_viewers_do_not_clash(box) -> None:
    mesh = box((0, 0, 0), (1, 1, 1))
    html = overlay_html(mesh, mesh) * 2
    elements = Elements(html)
    assert elements.tags["canvas"] == elements.tags["script"] == 2
    assert elements.ids == elements.addresses == []
    assert not re.search(r"https?:|fetch\(|import\(|XMLHttpRequest|@import|url\(", html)
    # Each script is a scope of its own; the painter alone is shared, by this name.
    assert set(re.findall(r"window\.(\w+)", html)) == {"sciRLPartPainter", "devicePixelRatio"}


def test_large_meshes_are_embedded_small(torus) -> None:
    mesh = torus(120, 60)
    html = overlay_html(mesh, mesh, max_mesh_bytes=30_000)
    part = data_of(html)["prediction"]
    assert mesh.size_bytes > 30_000
    assert len(part["vertices"]) + len(part["triangles"]) <= 4 * 30_000 / 3 + 8


@pytest.mark.parametrize("size", [[1, 2], [1, 2, float("nan")]])
def test_bad_sizes_are_refused(box, size: list[float]) -> None:
    with pytest.raises(UserError, match="three finite numbers"):
        overlay_html(box((0, 0, 0), (1, 1, 1)), prediction_size=size)


def test_lengths_as_text() -> None:
    assert [millimetres(value) for value in (60.0, 59.987, 12.5, 100, 0.004, -0.001)] == [
        "60", "59.99", "12.5", "100", "0", "0",
    ]  # fmt: skip
    assert size_text([1, 2.25, 3]) == "1 × 2.25 × 3 mm"


def run_node(expression: str, argument: dict[str, Any]) -> Any:
    """Evaluate an expression of `input` after the viewer's scripts, in a world with a plain canvas only."""
    if NODE is None:
        pytest.skip("node is not installed")
    world = """
      let painted = null;
      const pen = { createImageData: (w, h) => ({ data: new Uint8ClampedArray(4 * w * h) }),
        putImageData: (image) => (painted = image) };
      const document = { createElement: () => ({ getContext: (kind) => (kind === "2d" ? pen : null) }) };"""
    code = world + "".join(path.read_text() for path in sorted(SCRIPTS.glob("*.js")))
    code += f"\nconst input = {json.dumps(argument)};\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run([NODE, "-"], input=code, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_creases_and_folds(box, torus) -> None:
    count = "((mesh) => [mesh.creases.length / 6, mesh.folds.length])(readMesh(input))"
    assert run_node(count, data_of(overlay_html(box((0, 0, 0), (3, 2, 1))))["prediction"]) == [12, 0]
    creases, folds = run_node(count, data_of(overlay_html(torus(60, 30)))["prediction"])
    # Of three edges a quad, the diagonal lies in a plane; so do, nearly, some at the top and at the bottom.
    assert creases == 0
    assert 0.95 * 2 * 60 * 30 < folds <= 2 * 60 * 30


def test_without_webgl_there_is_no_gl_painter() -> None:
    assert run_node("makeGlPainter()", {}) is None


@pytest.mark.parametrize("shape", ["box", "torus"])
def test_the_canvas_painter_agrees_with_the_shaded_picture(box, torus, shape: str) -> None:
    mesh = box((-20, -15, -5), (20, 15, 5)) if shape == "box" else torus(60, 30)
    width, height, (right, up, near) = 160, 120, ISOMETRIC.axes()
    points = mesh.vertices @ ISOMETRIC.axes().T
    extent = np.ptp(points, axis=0)
    scene = {
        "width": width, "height": height, "centre": mesh.box.mean(axis=0).tolist(), "reach": 40, "linePull": 0.1,
        "right": right.tolist(), "up": up.tolist(), "near": near.tolist(), "paper": [255, 255, 255],
        "scale": float(min(0.9 * width / extent[0], 0.9 * height / extent[1])),
        "light": {"ambient": AMBIENT, "key": KEY, "head": HEAD, "towards": KEY_LIGHT.tolist()},
    }  # fmt: skip
    layer = {"colour": [200, 100, 50], "opacity": 1, "push": 0, "lineColour": [0, 0, 0], "lineOpacity": 0}
    paint = (
        "(makeCanvasPainter().paint({...input.scene, layers: [{...input.layer, mesh: readMesh(input.part)}]}), "
        "[...painted.data])"
    )
    part = data_of(overlay_html(mesh))["prediction"]
    painted = np.array(run_node(paint, {"scene": scene, "layer": layer, "part": part})).reshape(height, width, 4)
    expected = render(mesh.vertices, mesh.triangles, width, height, colour=(200, 100, 50)).astype(int)
    covered = painted[..., 2] != 255
    assert (covered == (expected[..., 3] > 128)).mean() > 0.985
    # Away from the lines, which this scene leaves out, the tones are equal.
    inside = covered & (expected[..., 3] == 255)
    assert (np.abs(painted - expected)[inside][:, 0] <= 3).mean() > 0.85
