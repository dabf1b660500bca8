"""Report figures and sample export of the crystal domain, on scored demonstrations."""

from __future__ import annotations

import csv
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from domains.crystal import DOMAIN
from domains.crystal.cell_drawing import draw_cell, with_boundary
from domains.crystal.codec import WyText
from domains.crystal.element_facts import element_facts
from domains.crystal.figures import (
    SIZE_EDGES,
    cell_figure,
    formula_html,
    make_figures,
    periodic_position,
    size_classes,
    space_group_figure,
)
from domains.crystal.options import CrystalOptions
from domains.crystal.profile import profile_records, profile_rows
from domains.crystal.rows import load_rows
from sciRL.domain import Record
from sciRL.score import Score

DATA = DOMAIN.default_data()
OPTIONS = CrystalOptions()


@pytest.fixture(scope="module")
def records() -> list[Record]:
    generator = random.Random(0)
    out = []
    for index, demonstration in enumerate(DOMAIN.demonstrations(DATA, "test", OPTIONS, 0)[:80]):
        if index % 4 == 0:
            out.append(
                Record(demonstration.task, "SG 231\n</svg><script>alert(1)</script>", Score.malformed("no group"))
            )
        else:
            score = Score.ok(generator.random(), passed=index % 2 == 0, e_hull=generator.gauss(0.1, 0.1))
            out.append(Record(demonstration.task, demonstration.answer, score))
    return out


class Balanced(HTMLParser):
    """Fails on a closing tag that does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_figures_are_well_formed_self_contained_and_escaped(records: list[Record]) -> None:
    figures = make_figures({"supervised": records, "GRPO <b>": records[:40]}, DATA, OPTIONS)
    assert [figure.title for figure in figures] == [
        "Space groups", "Diversity", "Wyckoff templates", "Elements", "Cell size", "Energy above the hull",
        "Best samples",
    ]  # fmt: skip
    for figure in figures:
        parser = Balanced()
        parser.feed(figure.html)
        assert parser.open == []
        assert not re.search(r"https?:|<script|<b>[^<]*supervised|url\(", figure.html)
        assert "GRPO <b>" not in figure.html
        assert figure.caption


def test_no_energy_figure_without_energies_and_none_of_cells_without_crystals(records: list[Record]) -> None:
    unread = [Record(record.task, "?", Score.malformed("no")) for record in records]
    titles = [figure.title for figure in make_figures({"untrained": unread}, DATA, OPTIONS)]
    assert titles == ["Space groups", "Diversity", "Wyckoff templates", "Elements", "Cell size"]
    assert make_figures({}, DATA, OPTIONS)[0].title == "Space groups"


def test_profile_counts_readable_answers_and_all_attempts(records: list[Record]) -> None:
    profile = profile_records("arm", records, OPTIONS)
    assert (profile.attempts, profile.readable) == (80, 60)
    assert profile.passed == 20
    assert sum(profile.groups.values()) == sum(profile.sizes.values()) == 60
    assert profile.label == "arm (readable 60 of 80)"
    expected = [record.task.reference["sg"] for record in records if record.score.value]  # type: ignore[index,call-overload]
    assert sorted(profile.groups.elements()) == sorted(expected)


def test_profile_takes_the_measurements_of_the_verifiers(records: list[Record]) -> None:
    scores = DOMAIN.rubric(DATA, OPTIONS, "naive").verify([(record.task, record.answer) for record in records])
    measured = [Record(record.task, record.answer, score) for record, score in zip(records, scores, strict=True)]
    decoded, read = profile_records("a", records, OPTIONS), profile_records("a", measured, OPTIONS)
    assert decoded.groups == read.groups
    assert decoded.templates == read.templates
    assert decoded.elements == read.elements
    assert decoded.sizes == read.sizes


def test_space_group_tips_hold_the_shares(records: list[Record]) -> None:
    training = profile_rows(load_rows(DATA, "train"))
    html = space_group_figure(training, [profile_records("arm", records, OPTIONS)]).html
    group, count = training.groups.most_common(1)[0]
    assert f"space group {group}: {100 * count / training.readable:.1f} %" in html


def test_size_classes_sum_to_one_and_hold_their_edges() -> None:
    profile = profile_rows(load_rows(DATA, "train"))
    assert sum(size_classes(profile)) == pytest.approx(1.0)
    profile.sizes.clear()
    profile.sizes.update({1: 1, 2: 1, 3: 1, 96: 1, 97: 1, 400: 1})
    profile.readable = 6
    assert size_classes(profile)[:2] == pytest.approx([2 / 6, 1 / 6])
    assert size_classes(profile)[-2:] == pytest.approx([1 / 6, 2 / 6])
    assert len(size_classes(profile)) == len(SIZE_EDGES)


@pytest.mark.parametrize(
    ("symbol", "place"),
    [("H", (0, 0)), ("He", (0, 17)), ("B", (1, 12)), ("Na", (2, 0)), ("Sc", (3, 2)), ("Kr", (3, 17)), ("Ba", (5, 1)),
     ("La", (8, 2)), ("Lu", (8, 16)), ("Hf", (5, 3)), ("Rn", (5, 17)), ("U", (9, 5))],
)  # fmt: skip
def test_periodic_positions(symbol: str, place: tuple[int, int]) -> None:
    assert periodic_position(element_facts()[symbol].z) == place


def test_periodic_positions_do_not_collide() -> None:
    places = [periodic_position(z) for z in range(1, 104)]
    assert len(set(places)) == 103


def test_boundary_atoms_are_repeated() -> None:
    points, symbols = with_boundary(np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.5], [0.999, 0.5, 0.5]]),
                                    ["A", "B", "C", "D"])  # fmt: skip
    assert [symbols.count(symbol) for symbol in "ABCD"] == [8, 2, 1, 2]
    assert points.min() >= -0.02
    assert points.max() <= 1.02


def test_cell_drawing_is_svg_inside_its_frame() -> None:
    crystal = WyText().decode("Sr1Ti1O3\nSG 221\nCELL 3.905\nSr 1a\nTi 1b\nO 3c")
    root = ElementTree.fromstring(draw_cell(crystal, size=200))
    balls = [e for e in root.iter("circle") if float(e.get("cy", "0")) <= 200]
    assert len(balls) == 2 * (8 + 1 + 6)  # corners, centre and faces, each with its highlight
    for ball in balls:
        radius = float(ball.get("r", "0"))
        for axis in ("cx", "cy"):
            assert -0.1 < float(ball.get(axis, "0")) - radius < float(ball.get(axis, "0")) + radius < 200.1
    assert {text.text for text in root.iter("text")} == {"Sr", "Ti", "O"}


def test_best_samples_show_one_crystal_for_each_template(records: list[Record]) -> None:
    html = cell_figure("arm", records, OPTIONS).html
    assert html.count("<svg") == 6
    assert html.count("score ") == 6
    best = max(record.score.value or 0.0 for record in records)
    assert html.split("score ")[1].startswith(f"{best:.2f}")


def test_formula_html() -> None:
    assert formula_html("Ca(NO3)2") == "Ca(NO<sub>3</sub>)<sub>2</sub>"


def test_export_writes_cifs_that_pymatgen_reads_and_a_table_of_all(records: list[Record], tmp_path: Path) -> None:
    from pymatgen.core import Structure

    paths = DOMAIN.export_samples(records[:12], tmp_path)
    assert len(paths) == 9 + 1
    with (tmp_path / "samples.csv").open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert len(lines) == 12
    for line, record in zip(lines, records, strict=False):
        assert line["status"] == record.score.status.value
        if line["file"]:
            structure = Structure.from_file(tmp_path / line["file"])
            assert structure.composition.reduced_formula == line["formula"]
            assert len(structure) == int(line["n_atoms"])
            reference = record.task.reference
            assert isinstance(reference, dict)
            assert structure.get_space_group_info(symprec=0.1)[1] == int(line["space_group"]) == reference["sg"]
    assert not list(tmp_path.glob(".*"))
