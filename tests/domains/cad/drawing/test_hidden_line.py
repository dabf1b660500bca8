"""Hidden-line drawings of real solids: three views the right way up, readable sizes, small files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from sciRL.errors import UserError

cq = pytest.importorskip("cadquery")

from domains.cad.drawing.hidden_line import HEIGHT, WIDTH, hidden_line_svg  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def drawn(svg: str) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """The polylines [n, 2] of seen and of hidden edges, and the texts."""
    root = ElementTree.fromstring(svg)
    kinds: dict[str, list[np.ndarray]] = {"1.3": [], "0.8": []}
    for path in root.iter(f"{SVG}path"):
        if path.get("stroke-opacity") == "0.7":
            continue
        for piece in re.findall(r"M([^M]+)", path.get("d", "")):
            start, steps = piece.split("l")
            rows = np.array(steps.split(), dtype=float).reshape(-1, 2)
            points = np.array(start.split(), dtype=float) + np.concatenate([[[0, 0]], np.cumsum(rows, axis=0)])
            kinds[path.get("stroke-width", "")].append(points)
    return kinds["1.3"], kinds["0.8"], ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def stepped() -> object:
    """A base of 60 x 40 x 10 with a post of 10 x 10 x 20 at its +X end, and a blind hole from below."""
    base = cq.Workplane("XY").box(60, 40, 10, centered=(True, True, False))
    part = base.faces(">Z").workplane(origin=(20, 0, 10)).rect(10, 10).extrude(20)
    return part.cut(cq.Workplane("XY").center(-15, 0).circle(6).extrude(5)).val()


def test_three_views_with_their_sizes(stepped) -> None:
    svg = hidden_line_svg(stepped, 'a "part" & more')
    _, hidden, texts = drawn(svg)
    assert {"top", "front", "isometric", "X 60 mm", "Y 40 mm", "Z 30 mm"} == set(texts)
    assert len(svg.encode()) < 10_000
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in svg
    assert 'stroke="currentColor"' in svg
    # A style element in a page would reach the texts of all other pictures.
    assert "<style" not in svg
    assert not re.search(r"rgb|#[0-9a-f]{3}|nan|\de-\d", svg)
    assert hidden


def test_all_is_inside_the_picture(stepped) -> None:
    seen, hidden, _ = drawn(hidden_line_svg(stepped))
    points = np.concatenate([*seen, *hidden])
    assert (points > 0).all()
    assert (points < [WIDTH, HEIGHT]).all()


def test_top_is_above_front_and_both_are_the_right_way_round(stepped) -> None:
    seen, _, _ = drawn(hidden_line_svg(stepped))
    left = [points for points in seen if points[:, 0].max() < WIDTH / 2]
    front = np.concatenate([points for points in left if points[:, 1].min() > 0.55 * HEIGHT])
    middle = (front[:, 0].min() + front[:, 0].max()) / 2
    # The post stands up, at the right.
    assert (front[front[:, 1] < front[:, 1].min() + 5][:, 0] > middle).all()
    scale = np.ptp(front[:, 0]) / 60
    assert np.ptp(front[:, 1]) == pytest.approx(30 * scale, abs=0.5)
    top = np.concatenate([points for points in left if points[:, 1].max() < 0.55 * HEIGHT])
    assert np.ptp(top, axis=0) == pytest.approx([60 * scale, 40 * scale], abs=0.5)


def test_the_blind_hole_is_hidden_from_above(stepped) -> None:
    seen, hidden, _ = drawn(hidden_line_svg(stepped))
    solid = drawn(hidden_line_svg(cq.Workplane("XY").box(60, 40, 10).val()))[1]
    rounds = [points for points in seen if len(points) > 6]
    assert not rounds
    assert any(len(points) > 6 for points in hidden)
    assert all(len(points) == 2 for points in solid)


def test_many_edges_are_drawn_coarser(stepped) -> None:
    plate = cq.Workplane("XY").box(60, 60, 4).faces(">Z").workplane().rarray(12, 12, 4, 4).hole(5).val()
    fine = hidden_line_svg(plate)
    coarse = hidden_line_svg(plate, max_bytes=9_000)
    assert len(coarse.encode()) <= 9_000 < len(fine.encode()) <= 60_000
    assert set(drawn(coarse)[2]) == set(drawn(fine)[2])


def test_small_sizes_are_written_beside(stepped) -> None:
    svg = hidden_line_svg(cq.Workplane("XY").box(300, 8, 8).val())
    assert re.search(r'text-anchor="end"[^>]*>Y 8 mm<', svg)


def test_what_cannot_be_drawn_is_refused(stepped) -> None:
    with pytest.raises(UserError, match="50 bytes"):
        hidden_line_svg(stepped, max_bytes=50)
    with pytest.raises(UserError, match=r"extent|edge"):
        hidden_line_svg(cq.Vertex.makeVertex(1, 2, 3))
