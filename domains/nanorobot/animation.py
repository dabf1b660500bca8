"""Searches as a file to show elsewhere: a GIF, or a page that plays them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domains.nanorobot.from_above import ROBOTS, TRAIL_SHARE, above_figure, scale_bar, scenario_of
from domains.nanorobot.metrics import read_search
from domains.nanorobot.selection import Path as Shown
from domains.nanorobot.selection import Runs, select
from sciRL.domain import Record
from sciRL.errors import UserError
from sciRL.run.directory import write_text
from sciRL.run.page import page

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

SIZE, HEAD, OVERSAMPLED = 440, 36, 2
FRAMES, FRAME_MS, LAST_MS = 60, 100, 1800
INK, FAINT, PATH, TUMOUR, ROCK = "#1c2530", "#c7dcee", "#1f6fb2", "#d9584a", "#c9ced4"


def write_animation(records: Sequence[Record], path: Path, title: str = "Searches") -> Path:
    """Write the searches of the first start conditions as an animation, seen from above; return its path.

    Args:
        records: of one arm.
        path: a name that ends in .gif (needs Pillow) or .html.
        title: what is shown.

    Raises:
        UserError: another ending, no valid search among the records, or a GIF without Pillow.
    """
    searches = [(record, search) for record in records if (search := read_search(record)) is not None and search.valid]
    if not searches:
        raise UserError(f"{path}: none of the {len(records)} records is a valid search: nothing can be shown")
    runs: Runs = {title: searches}
    if path.suffix.lower() == ".html":
        figure = above_figure(runs)
        body = f"<h1>{escape(title)}</h1>{figure.html}<p class=note>{escape(figure.caption)}</p>"
        write_text(path, page(title, body))
    elif path.suffix.lower() == ".gif":
        _write_gif(runs, path, title)
    else:
        raise UserError(f"{path}: an animation is a .gif or a .html file; found {path.suffix or 'no ending'!r}")
    return path


def _write_gif(runs: Runs, path: Path, title: str) -> None:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise UserError(f"{path}: a GIF needs Pillow (pip install pillow); a .html file needs nothing") from None
    scenario, selection = scenario_of(runs), select(runs, ROBOTS, ROBOTS)
    step = scenario["record_every"] * selection.stride
    times = np.linspace(0.0, scenario["duration"], FRAMES)
    frames = [_frame(selection.paths, scenario, step, float(time), title) for time in times]
    palette = _palette()
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    aside = path.with_name(f".{path.name}.part")
    durations = [FRAME_MS] * (FRAMES - 1) + [LAST_MS]
    small[0].save(aside, format="GIF", save_all=True, append_images=small[1:], duration=durations, loop=0)
    os.replace(aside, path)


def _frame(paths: Sequence[Shown], scenario: Mapping[str, Any], step: float, time: float, title: str) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    scale, half = OVERSAMPLED * SIZE / (2 * scenario["wall"]), scenario["wall"]
    image = Image.new("RGB", (OVERSAMPLED * SIZE, OVERSAMPLED * (SIZE + HEAD)), "white")
    pen = ImageDraw.Draw(image)

    def pixel(points: NDArray[np.float64]) -> list[tuple[float, float]]:
        return [((x + half) * scale, (half - y) * scale + OVERSAMPLED * HEAD) for x, y in points[:, :2]]

    for x, y, z, radius in scenario["obstacles"]:
        _disc(pen, pixel(np.array([[x, y, z]]))[0], radius * scale, ROCK)
    for centre in sorted({centre for path in paths for centre in path.tumours}):
        _disc(pen, pixel(np.array([centre]))[0], scenario["hit_distance"] * scale, TUMOUR)
    trail = TRAIL_SHARE * scenario["duration"]
    for path in paths:
        pen.line(pixel(until(path, step, 0.0, time)), fill=FAINT, width=2)
    for path in paths:
        recent = pixel(until(path, step, min(time, path.end) - trail, time))
        pen.line(recent, fill=PATH, width=4, joint="curve")
        _disc(pen, recent[-1], 5 * OVERSAMPLED / 1.4, PATH, "white")
    arrived = sum(path.found and path.end <= time for path in paths)
    font = ImageFont.load_default(size=15 * OVERSAMPLED)
    text = f"{title}    t = {time:3.0f} s    {arrived} of {len(paths)} arrived"
    _box_and_scale(pen, scale, scale_bar(scenario), font)
    pen.text((10 * OVERSAMPLED, 8 * OVERSAMPLED), text, fill=INK, font=font)
    return image.reduce(OVERSAMPLED)


def _palette() -> Image.Image:
    """The shades from white to each colour: one palette for all frames, since changing ones flicker."""
    from PIL import Image, ImageColor

    # Pale colours take few shades: Pillow finds the nearest one in coarse steps, and would take another for white.
    steps = {INK: 8, FAINT: 2, PATH: 8, TUMOUR: 8, ROCK: 2}
    shades = [
        255 + (np.array(ImageColor.getrgb(name)) - 255) * step / count
        for name, count in steps.items()
        for step in range(1, count + 1)
    ]
    image = Image.new("P", (1, 1))
    image.putpalette([255, 255, 255, *(round(part) for shade in shades for part in shade.tolist())])
    return image


def _box_and_scale(pen: ImageDraw.ImageDraw, scale: float, bar: tuple[int, str], font: Any) -> None:
    low, high = OVERSAMPLED * HEAD, OVERSAMPLED * (SIZE + HEAD) - 1
    pen.rectangle((0, low, OVERSAMPLED * SIZE - 1, high), outline=INK, width=OVERSAMPLED)
    x, y = 12 * OVERSAMPLED, high - 12 * OVERSAMPLED
    pen.line([(x, y), (x + bar[0] * scale, y)], fill=INK, width=3 * OVERSAMPLED)
    # Pillow's own font has no Greek letter.
    pen.text((x, y - 22 * OVERSAMPLED), bar[1].replace("µ", "u"), fill=INK, font=font)


def _disc(
    pen: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: str, edge: str | None = None
) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=edge, width=OVERSAMPLED)


def until(path: Shown, step: float, start: float, time: float) -> NDArray[np.float64]:
    """Return the piece [N, 3] of a path between two times in s, its ends interpolated; at least its place at `time`.

    Args:
        path: points every `step` s, the last one at its end.
        step: in s.
        start: in s; before the search began is its begin.
        time: in s; after the search ended is its end.
    """
    times = np.minimum(np.arange(len(path.points)) * step, path.end)
    first, last = np.clip([start, time], 0.0, path.end)
    inside = times[(times > first) & (times < last)]
    wanted = np.concatenate([[first], inside, [last]])
    return np.stack([np.interp(wanted, times, path.points[:, axis]) for axis in range(3)], axis=1)
