"""Report figures of the crystal domain: what the arms generate, beside the training data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from domains.crystal.answers import read_answer
from domains.crystal.cell_drawing import draw_cell
from domains.crystal.element_facts import element_facts
from domains.crystal.metrics import effective_number
from domains.crystal.options import CrystalOptions
from domains.crystal.profile import Profile, profile_records, profile_rows
from domains.crystal.rows import load_rows
from sciRL.domain import Figure, Record
from sciRL.run.charts import Bar, bar_chart

INK, SOFT, GRID, FIRST = "var(--ink,currentColor)", "var(--soft,#777)", "var(--grid,#ccc)", "var(--series-1,#1f6fb2)"
REFERENCE = "var(--series-8,#6b7280)"

SYSTEMS = (
    ("triclinic", 1), ("monoclinic", 3), ("orthorhombic", 16), ("tetragonal", 75), ("trigonal", 143),
    ("hexagonal", 168), ("cubic", 195),
)  # fmt: skip
"""Crystal systems and their first space group."""

SIZE_EDGES = (1, 3, 5, 9, 13, 17, 25, 33, 49, 97)
"""Lower edges of the cell-size classes, in atoms of the conventional cell."""

SHOWN_CELLS = 6
WIDTH = 760


def make_figures(arms: Mapping[str, Sequence[Record]], data: Path, options: CrystalOptions) -> list[Figure]:
    """Return the figures for the arms of a run, as self-contained inline SVG and HTML.

    Args:
        arms: evaluation records by arm name, in the order of the report.
        data: dataset folder; its training split is the reference.
        options: how answers are read.
    """
    training = profile_rows(load_rows(data, "train"))
    profiles = [profile_records(name, records, options) for name, records in arms.items()]
    figures = [
        space_group_figure(training, profiles),
        diversity_figure(training, profiles),
        template_figure(training, profiles),
        element_figure(training, profiles),
        size_figure(training, profiles),
    ]
    if any(profile.e_hull for profile in profiles):
        figures.append(e_hull_figure(profiles))
    best = _best_arm(profiles)
    if best:
        figures.append(cell_figure(best, arms[best], options))
    return figures


def space_group_figure(training: Profile, profiles: Sequence[Profile]) -> Figure:
    """Return one strip of 230 space groups per arm, the training distribution as a grey shadow."""
    strips = [_group_strip(profile, training) for profile in [training, *profiles]]
    note = (
        "Share of the readable answers in each space group (square-root scale, groups 1 to 230). Grey: training data. "
        "A bar that towers over its shadow is a group the policy has collapsed onto."
    )
    return Figure("Space groups", note, "".join(strips))


def _group_strip(profile: Profile, training: Profile) -> str:
    base, left = 76, 8
    step = (WIDTH - 2 * left) / 230
    top = max([_share(source, group) for source in (profile, training) for group in source.groups] or [1.0])
    parts = [_text(left, 12, profile.label, INK, 12, bold=True), _system_bands(base, left, step)]
    for group in range(1, 231):
        x = left + (group - 1) * step
        bars = [(training, REFERENCE, step, 0.45)]
        if profile is not training:
            bars.append((profile, FIRST, step * 0.62, 1.0))
        for source, color, wide, opacity in bars:
            share = _share(source, group)
            if share:
                height = 52 * math.sqrt(share / top)
                tip = f"space group {group}: {100 * share:.1f} %"
                parts.append(_bar(x, base, wide, height, color, tip, opacity))
    labelled: list[float] = []
    for group, _ in profile.groups.most_common(6):
        x, share = left + (group - 0.5) * step, _share(profile, group)
        if any(abs(x - other) < 46 for other in labelled):
            continue
        labelled.append(x)
        anchor = "end" if x > WIDTH - 40 else "middle"
        y = max(26.0, base - 52 * math.sqrt(share / top) - 3)
        parts.append(_text(x, y, f"{group}: {100 * share:.0f} %", INK, 10, anchor))
    return _svg(WIDTH, base + 20, "".join(parts), f"space groups of {profile.name}")


def _system_bands(base: float, left: float, step: float) -> str:
    parts = []
    starts = [*(first for _, first in SYSTEMS), 231]
    for index, ((name, _), (start, end)) in enumerate(zip(SYSTEMS, pairwise(starts), strict=True)):
        x0, x1 = left + (start - 1) * step, left + (end - 1) * step
        shade = 0.10 if index % 2 == 0 else 0.03
        parts.append(_bar(x0, base, x1 - x0, base - 18, "#888", name, shade))
        label = name if x1 - x0 > 50 else name[:4]
        parts.append(_text((x0 + x1) / 2, base + 13, label, SOFT, 10, "middle"))
    return "".join(parts)


def _share(profile: Profile, group: int) -> float:
    return profile.groups[group] / profile.readable if profile.readable else 0.0


def diversity_figure(training: Profile, profiles: Sequence[Profile]) -> Figure:
    """Return bars of the effective numbers of space groups, templates and elements."""
    rows = [training, *profiles]
    numbers: dict[str, list[float]] = {
        "effective number of space groups": [effective_number(row.groups.values()) for row in rows],
        "effective number of Wyckoff templates": [effective_number(row.templates.values()) for row in rows],
        "effective number of elements": [effective_number(row.elements.values()) for row in rows],
    }
    charts = [
        bar_chart(
            title, [Bar(row.name, n, series=7 if row is training else 0) for row, n in zip(rows, ns, strict=True)]
        )
        for title, ns in numbers.items()
    ]
    note = (
        "exp(entropy) over the readable answers: the number of equally frequent values with the same diversity. "
        "It grows with the number of answers; compare arms of equal size, and read the training data as a ceiling."
    )
    return Figure("Diversity", note, "".join(charts))


def template_figure(training: Profile, profiles: Sequence[Profile]) -> Figure:
    """Return one bar per arm, cut into the shares of its most frequent Wyckoff templates."""
    row, left = 28, 190
    rows = [training, *profiles]
    together = sum((profile.templates for profile in rows), Counter[str]())
    colors = {
        template: f"var(--series-{index})" for index, (template, _) in enumerate(together.most_common(7), start=1)
    }
    parts = []
    for index, profile in enumerate(rows):
        bottom, x = 26 + index * row, float(left)
        parts.append(_text(left - 8, bottom - 5, profile.name[:28], INK, 12, "end"))
        for template, count in sorted(profile.templates.items(), key=lambda item: (-item[1], item[0])):
            width = (WIDTH - left - 10) * count / profile.readable
            tip = f"{template}: {100 * count / profile.readable:.1f} %"
            opacity = 0.9 if template in colors else 0.35
            # A gap between the pieces shows how many there are, until they are too thin for one.
            piece = width - 0.8 if width > 2 else width
            parts.append(_bar(x, bottom, piece, 20, colors.get(template, REFERENCE), tip, opacity))
            x += width
    y = 18 + len(rows) * row
    for index, (template, color) in enumerate(colors.items()):
        name = template if len(template) <= 14 else template[:13] + "…"
        parts += [_bar(8 + 107 * index, y + 1, 10, 10, color, template), _text(22 + 107 * index, y, name, SOFT, 11)]
    note = (
        "Each bar holds the readable answers of an arm, cut by Wyckoff template (space group and the letters of each "
        "element). The most frequent templates are coloured, all others are grey."
    )
    return Figure("Wyckoff templates", note, _svg(WIDTH, y + 10, "".join(parts), "template shares"))


def element_figure(training: Profile, profiles: Sequence[Profile]) -> Figure:
    """Return one small periodic table per arm, shaded by how many readable answers contain each element."""
    tables = "".join(_periodic_table(profile) for profile in [training, *profiles])
    note = (
        "Share of the readable answers that contain each element; the darkest cell of each table is its largest share."
    )
    html = f'<div style="display:flex;flex-wrap:wrap;gap:14px">{tables}</div>'
    return Figure("Elements", note, html)


def periodic_position(z: int) -> tuple[int, int]:
    """Return (row, column) of an element in the 18-column table; lanthanides and actinides go to rows 8 and 9.

    Example: sodium (11) is at (2, 0), lanthanum (57) at (8, 2).
    """
    if 57 <= z <= 71:
        return 8, z - 57 + 2
    if 89 <= z <= 103:
        return 9, z - 89 + 2
    for row, first in enumerate((1, 3, 11, 19, 37, 55, 87)):
        last = (2, 10, 18, 36, 54, 86, 118)[row]
        if z <= last:
            offset, length = z - first, last - first + 1
            if length == 2:
                return row, 0 if offset == 0 else 17
            if length == 8:
                return row, offset if offset < 2 else offset + 10
            # Rows 6 and 7 skip the fourteen f-block elements and the one that stands for them.
            return row, offset if offset < 2 or length == 18 else offset - 14
    raise ValueError(f"no element has the number {z}")


def _periodic_table(profile: Profile) -> str:
    cell = 20
    top = max([count / profile.readable for count in profile.elements.values()] or [1.0])
    parts = [_text(0, 12, profile.name, INK, 12, bold=True)]
    for symbol, facts in element_facts().items():
        row, column = periodic_position(facts.z)
        share = profile.elements[symbol] / max(1, profile.readable)
        x, y = column * cell, 20 + row * cell - (8 if row >= 8 else 0)
        strength = math.sqrt(share / top)
        ink = "#fff" if strength > 0.6 else SOFT if share == 0 else INK
        parts.append(
            f'<rect x="{x}" y="{y}" width="{cell - 1.5}" height="{cell - 1.5}" rx="2" fill="#1f6fb2" '
            f'fill-opacity="{strength:.2f}" stroke="{GRID}" stroke-width=".6"><title>{symbol}: {100 * share:.1f} %'
            f"</title></rect>{_text(x + cell / 2 - 0.8, y + 13, symbol, ink, 9, 'middle')}"
        )
    parts.append(_text(3 * cell, 30, f"darkest = {100 * top:.0f} %", SOFT, 10))
    return _svg(18 * cell, 20 + 10 * cell - 4, "".join(parts), f"elements of {profile.name}")


def size_figure(training: Profile, profiles: Sequence[Profile]) -> Figure:
    """Return a histogram of the conventional cell's atoms per arm, the training data as a grey outline."""
    panels = "".join(_size_panel(profile, training) for profile in profiles)
    note = "Atoms in the conventional cell, as a share of the readable answers; outline: training data."
    return Figure("Cell size", note, f'<div style="display:flex;flex-wrap:wrap;gap:14px">{panels}</div>')


def size_classes(profile: Profile) -> list[float]:
    """Return the share of readable crystals in each class of `SIZE_EDGES` (the last one is open)."""
    shares = [0.0] * len(SIZE_EDGES)
    for size, count in profile.sizes.items():
        shares[sum(size >= edge for edge in SIZE_EDGES) - 1] += count / profile.readable
    return shares


def _size_panel(profile: Profile, training: Profile) -> str:
    width, base, slot = 240, 92, 23
    mine, reference = size_classes(profile), size_classes(training)
    top = max([*mine, *reference, 0.01])
    labels = [*(f"{a}-{b - 1}" for a, b in pairwise(SIZE_EDGES)), f"{SIZE_EDGES[-1]}+"]
    parts = [_text(2, 12, profile.name[:34], INK, 12, bold=True)]
    for index, (share, known, label) in enumerate(zip(mine, reference, labels, strict=True)):
        x = 4 + index * slot
        tip = f"{label} atoms: {100 * share:.1f} % (training {100 * known:.1f} %)"
        parts.append(_bar(x + 2, base, slot - 6, 68 * share / top, FIRST, tip))
        level = base - 68 * known / top
        parts.append(f'<path d="M{x} {level:.1f}h{slot - 2}" stroke="{REFERENCE}" stroke-width="2.5"/>')
        parts.append(_text(x + slot / 2 - 1, base + 11, label, SOFT, 7.5, "middle"))
    parts.append(f'<path d="M2 {base}H{width - 4}" stroke="{SOFT}"/>')
    return _svg(width, base + 18, "".join(parts), f"cell sizes of {profile.name}")


def e_hull_figure(profiles: Sequence[Profile]) -> Figure:
    """Return histograms of the energy above the hull, with lines at 0 (stable) and 0.1 eV/atom (metastable)."""
    panels = "".join(_e_hull_panel(profile) for profile in profiles if profile.e_hull)
    note = (
        "eV/atom, clipped to -0.2 ... 1.0, in bins of 0.05; dashed lines at 0 and 0.1. Counts are out of all attempts."
    )
    return Figure("Energy above the hull", note, f'<div style="display:flex;flex-wrap:wrap;gap:14px">{panels}</div>')


def _e_hull_panel(profile: Profile) -> str:
    low, width, bins, base, step = -0.2, 0.05, 24, 104, 9.5
    # The small number keeps values on an edge, such as 0.1, in the bin that starts there.
    counts = Counter(min(bins - 1, max(0, math.floor((value - low) / width + 1e-9))) for value in profile.e_hull)
    top = max(counts.values())

    def x(value: float) -> float:
        return 10 + (value - low) / width * step

    parts = [_text(2, 12, profile.name[:34], INK, 12, bold=True)]
    for index, count in sorted(counts.items()):
        tip = f"{low + index * width:.2f} eV/atom: {count}"
        parts.append(_bar(x(low + index * width), base, step - 1, 66 * count / top, FIRST, tip))
    parts += [f'<path d="M{x(v) - 0.5:.1f} 34V{base}" stroke="{INK}" stroke-dasharray="4 3"/>' for v in (0.0, 0.1)]
    parts += [_text(x(value), base + 12, f"{value:g}", SOFT, 9, "middle") for value in (-0.2, 0.0, 0.1, 0.5, 1.0)]
    stable, metastable = (sum(value <= limit for value in profile.e_hull) for limit in (0.0, 0.1))
    parts.append(_text(2, 27, f"≤ 0: {stable}, ≤ 0.1: {metastable}, of {profile.attempts}", SOFT, 11))
    parts.append(f'<path d="M4 {base}H238" stroke="{SOFT}"/>')
    return _svg(240, base + 18, "".join(parts), f"energy above the hull of {profile.name}")


def _best_arm(profiles: Sequence[Profile]) -> str | None:
    """The arm with the largest share of passes (the later one of equals); None when nothing was readable."""
    readable = [profile for profile in profiles if profile.readable]
    if not readable:
        return None
    return max(enumerate(readable), key=lambda item: (item[1].passed / item[1].attempts, item[0]))[1].name


def cell_figure(arm: str, records: Sequence[Record], options: CrystalOptions) -> Figure:
    """Return drawings of the best readable answers of one arm, one per Wyckoff template."""
    cards: list[str] = []
    seen: set[str] = set()
    for record in sorted(records, key=lambda record: -(record.score.value or 0.0)):
        crystal = read_answer(record.answer, options)
        if crystal is None or crystal.template in seen:
            continue
        seen.add(crystal.template)
        energy = record.score.measurements.get("e_hull")
        lines = [f"{crystal.group.symbol} (no. {crystal.sg}), {crystal.n_atoms} atoms"]
        lines.append(f"score {record.score.value or 0.0:.2f}")
        if isinstance(energy, (int, float)):
            lines.append(f"e_hull {energy:.3f} eV/atom")
        cards.append(
            f'<div style="text-align:center;font-size:13px"><div>{draw_cell(crystal)}</div>'
            f"<b>{formula_html(crystal.reduced_formula)}</b>"
            f'<div style="color:{SOFT}">{"<br>".join(lines)}</div></div>'
        )
        if len(cards) == SHOWN_CELLS:
            break
    note = f"The highest-scored answers of “{arm}”, one for each Wyckoff template; conventional cells, Jmol colours."
    html = f'<div style="display:flex;flex-wrap:wrap;gap:22px">{"".join(cards)}</div>'
    return Figure("Best samples", note, html)


def formula_html(formula: str) -> str:
    """Return a formula with its counts as subscripts ("SrTiO3" gives SrTiO<sub>3</sub>)."""
    return "".join(f"<sub>{escape(char)}</sub>" if char.isdigit() else escape(char) for char in formula)


def _text(x: float, y: float, text: str, color: str, size: float, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{color}"{weight}>'
        f"{escape(text)}</text>"
    )


def _bar(x: float, base: float, width: float, height: float, color: str, tip: str, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{x:.2f}" y="{base - height:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{color}" '
        f'opacity="{opacity:g}"><title>{escape(tip)}</title></rect>'
    )


def _svg(width: float, height: float, body: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'style="max-width:100%" font-family="system-ui,sans-serif" aria-label="{escape(label, quote=True)}">'
        f"{body}</svg>"
    )
