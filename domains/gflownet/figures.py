"""Report figures of GFlowNets: laws of grids, rewards, modes, diversity of the best, and drawn molecules."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from domains.gflownet.metrics import mean_distance, mode_curve
from domains.gflownet.reading import Problem, canonical_smiles
from sciRL.domain import Figure
from sciRL.run.charts import histogram, line_chart

INK, SOFT, FIRST = "var(--ink,currentColor)", "var(--soft,#777)", "var(--series-1,#1f6fb2)"
PANEL = 230
TILE_WIDTH, TILE_HEIGHT = 190, 150

Samples = tuple[Sequence[str], Sequence[float]]
"""Sampled SMILES in the order they were drawn, and the reward of each."""

Law = Sequence[Sequence[float]]
"""Probabilities of the cells of a square grid, by row."""


def law_figure(laws: Mapping[str, Law], true: Law) -> Figure:
    """Return heat maps of the laws of a two-dimensional grid beside the true one, on one scale of colours.

    Args:
        laws: P(x) of the cells [H][H] by arm, each summing to 1.
        true: R(x) / Z [H][H].

    Example: a law equal to the true one is labelled "L1 = 0"; two laws without a common cell have L1 = 2.
    """
    panels = {"true law": true, **laws}
    top = max(value for law in panels.values() for row in law for value in row) or 1.0
    parts = []
    for name, law in panels.items():
        distance = sum(
            abs(a - b) for one, other in zip(law, true, strict=True) for a, b in zip(one, other, strict=True)
        )
        label = name if law is true else f"{name}: L1 = {distance:.3g}"
        parts.append(_heat_map(law, top, label))
    note = (
        "Probability of each cell (darker is likelier, square-root scale common to all panels). L1 is the sum of the "
        "absolute differences over all cells: 0 for equal laws, 2 for disjoint ones."
    )
    return Figure(
        "Learned and true law", note, f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(parts)}</div>'
    )


def _heat_map(law: Law, top: float, label: str) -> str:
    side = len(law)
    size = PANEL / side
    cells = "".join(
        f'<rect x="{column * size:.2f}" y="{22 + row * size:.2f}" width="{size:.2f}" height="{size:.2f}" '
        f'fill="{FIRST}" fill-opacity="{math.sqrt(max(0.0, value) / top):.3f}">'
        f"<title>cell {row}, {column}: {value:.3g}</title></rect>"
        for row, values in enumerate(law)
        for column, value in enumerate(values)
    )
    frame = f'<rect x="0" y="22" width="{PANEL}" height="{PANEL}" fill="none" stroke="{SOFT}" stroke-width="0.6"/>'
    title = f'<text x="0" y="14" font-size="12" font-weight="600" fill="{INK}">{escape(label)}</text>'
    return _svg(PANEL, PANEL + 24, title + cells + frame, label)


def reward_figure(rewards: Mapping[str, Sequence[float]]) -> Figure:
    """Return the distribution of rewards of each arm over common bins."""
    note = (
        "Share of the samples by reward R(x), all attempts counted. A sampler that draws in proportion to R has more "
        "mass at high rewards than uniform draws, and still some at low ones."
    )
    return Figure("Rewards", note, histogram("reward of the samples", rewards, x_label="R(x)"))


def mode_figure(arms: Mapping[str, Samples], threshold: float, distance: float) -> Figure:
    """Return the number of modes found against samples drawn, one curve an arm (see `metrics.mode_curve`)."""
    curves = {name: mode_curve(texts, rewards, threshold, distance) for name, (texts, rewards) in arms.items()}
    note = (
        f"Molecules of reward at least {threshold:g}, each at a Tanimoto distance of at least {distance:g} from those "
        "counted before it, against samples drawn. A curve that flattens early has collapsed."
    )
    return Figure("Mode discovery", note, line_chart("modes found", curves, "samples"))


def top_k_figure(arms: Mapping[str, Samples], ks: Sequence[int] = (10, 20, 50, 100, 200)) -> Figure:
    """Return mean reward and mean pairwise Tanimoto distance of the k best distinct molecules against k."""
    rewards: dict[str, list[tuple[float, float]]] = {}
    distances: dict[str, list[tuple[float, float]]] = {}
    for name, (texts, values) in arms.items():
        ranked = _ranked(texts, values)
        sizes = [k for k in ks if k <= len(ranked)]
        rewards[name] = [(float(k), sum(v for _, v in ranked[:k]) / k) for k in sizes]
        distances[name] = [(float(k), mean_distance([s for s, _ in ranked[:k]])) for k in sizes]
    charts = line_chart("mean reward of the k best", rewards, "k")
    charts += line_chart("mean Tanimoto distance among the k best", distances, "k", (0.0, 1.0))
    note = (
        "The k distinct molecules of highest reward: high reward with high distance (Morgan fingerprints, radius 2, "
        "2,048 bits) means many different good molecules, not one good molecule varied."
    )
    return Figure("The best molecules", note, charts)


def _ranked(texts: Sequence[str], rewards: Sequence[float]) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for text, reward in zip(texts, rewards, strict=True):
        smiles = canonical_smiles(text)
        if not isinstance(smiles, Problem):
            best.setdefault(smiles, float(reward))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))


def molecule_figure(samples: Samples, most: int = 12, title: str = "Molecules") -> Figure:
    """Return drawings of the best distinct molecules with their rewards, as inline SVG by rdkit."""
    ranked = _ranked(*samples)[:most]
    tiles = "".join(_tile(smiles, reward) for smiles, reward in ranked)
    note = f"The {len(ranked)} distinct molecules of highest reward; below each R(x), and its SMILES on hover."
    body = f'<div style="display:flex;flex-wrap:wrap;gap:8px">{tiles}</div>' if tiles else "<p>no molecules</p>"
    return Figure(title, note, body)


def _tile(smiles: str, reward: float) -> str:
    # Drawings keep rdkit's colours of elements, so the tile stays light on dark pages.
    return (
        f'<figure title="{escape(smiles, quote=True)}" style="margin:0;background:#fff;border-radius:4px;'
        f'width:{TILE_WIDTH}px">{draw_molecule(smiles)}<figcaption style="text-align:center;font-size:11px;color:#333">'
        f"{reward:.3f}</figcaption></figure>"
    )


def draw_molecule(smiles: str, width: int = TILE_WIDTH, height: int = TILE_HEIGHT) -> str:
    """Return a drawing of a readable SMILES as an inline SVG element."""
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, Chem.MolFromSmiles(smiles))
    drawer.FinishDrawing()
    # The XML declaration and comments have no place inside a page.
    return re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", drawer.GetDrawingText(), flags=re.DOTALL).strip()


def _svg(width: float, height: float, body: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'style="max-width:100%" font-family="system-ui,sans-serif" aria-label="{escape(label, quote=True)}">'
        f"{body}</svg>"
    )
