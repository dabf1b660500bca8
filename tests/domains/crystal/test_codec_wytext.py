"""WyText: grammar, every error code, fixed points, hostile texts."""

from __future__ import annotations

import json
import pickle
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.crystal.codec import ERROR_CODES, CodecError, WyText, get_codec, origin_variants
from domains.crystal.crystal import Crystal, Site
from domains.crystal.tables import read_table
from domains.crystal.wyckoff import cell_parameter_names, full_cell, space_group

CODEC = WyText()
PROTOTYPES = [json.loads(line) for line in read_table("prototypes.jsonl").splitlines()]
HALF_HEUSLER = "Ti4Ni4Sn4\nSG 216\nCELL 5.930\nTi 4b\nNi 4c\nSn 4a"
QUARTZ = "Si3O6\nSG 154\nCELL 4.913 5.405\nSi 3a 0.470\nO 6c 0.146 0.733 0.548"
SALT = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"


def measured_group(crystal: Crystal) -> int:
    import spglib

    cell = crystal.primitive
    return int(spglib.get_symmetry_dataset((cell.lattice, cell.frac, cell.numbers), symprec=0.1).number)


def error_of(text: str, codec: WyText = CODEC) -> CodecError:
    with pytest.raises(CodecError) as caught:
        codec.decode(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "atoms", "group"),
    [
        (HALF_HEUSLER, 12, 216),
        (QUARTZ, 9, 154),
        ("Sr1Ti1O3\nSG 221\nCELL 3.905\nSr 1a\nTi 1b\nO 3c", 5, 221),
        ("Zn2O2\nSG 186\nCELL 3.250 5.207\nZn 2b 0.000\nO 2b 0.382", 4, 186),
    ],
)
def test_examples(text: str, atoms: int, group: int) -> None:
    crystal = CODEC.decode(text)
    assert crystal.n_atoms == len(crystal.frac) == atoms
    assert measured_group(crystal) == crystal.sg == group
    assert CODEC.canonical(crystal) == text


def test_every_prototype_has_the_group_it_states() -> None:
    assert len(PROTOTYPES) == 393
    for row in PROTOTYPES:
        crystal = CODEC.decode(row["text"])
        assert crystal.sg == row["sg"]
        assert measured_group(crystal) == row["sg"], row["formula"]
        assert crystal.formula == row["text"].split("\n")[0]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("Na4Cl4\nSG 225\nCELL 5.640", "E_SHORT", 3),
        ("", "E_SHORT", 1),
        ("NaCl\nSG 225\nCELL 5.640\nNa 4a\nCl 4b", "E_FORMULA", 1),
        ("Na4Na4\nSG 225\nCELL 5.640\nNa 4a\nNa 4b", "E_FORMULA", 1),
        ("Na4Xx4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b", "E_FORMULA", 1),
        (SALT.replace("SG 225", "SG 231"), "E_SG", 2),
        (SALT.replace("SG 225", "SG 0225"), "E_SG", 2),
        (SALT.replace("CELL 5.640", "CELL  5.640"), "E_CELL", 3),
        (SALT.replace("CELL 5.640", "5.640"), "E_CELL", 3),
        (SALT.replace("CELL 5.640", "CELL 5.640 5.640"), "E_CELL_COUNT", 3),
        (SALT.replace("5.640", "0.000"), "E_CELL_RANGE", 3),
        (SALT.replace("5.640", "200.001"), "E_CELL_RANGE", 3),
        ("Po1\nSG 1\nCELL 4 4 4 60 60 130\nPo 1a .0 .0 .0", "E_CELL_RANGE", 3),
        (SALT.replace("Na 4a", "Na  4a"), "E_SITE", 4),
        (SALT.replace("Na 4a", "Jx 4a"), "E_ELEMENT", 4),
        (SALT.replace("Cl 4b", "Cl 4m"), "E_LETTER", 5),
        (SALT.replace("Cl 4b", "Cl 8b"), "E_MULT", 5),
        (SALT.replace("Cl 4b", "Cl 4b 0.500"), "E_DOF", 5),
        (QUARTZ.replace("0.470", "1.470"), "E_RANGE", 4),
        (QUARTZ.replace("0.470", "1.0"), "E_RANGE", 4),
        (SALT.replace("Cl 4b", "Cl 4a"), "E_REUSE", 5),
        ("Po1\nSG 225\nCELL 5\nPo 192l .1 .2 .3\nPo 192l .1 .2 .4\nPo 192l .1 .2 .45", "E_SIZE", 6),
        ("N" * 1_000_000, "E_SIZE", 1),
        (SALT.replace("Na4Cl4", "Na4Cl5"), "E_COUNT", 1),
    ],
)
def test_error_codes(text: str, code: str, line: int) -> None:
    error = error_of(text)
    assert (error.code, error.line) == (code, line)
    assert error.code in ERROR_CODES
    assert CODEC.fraction_accepted(text) < 1.0
    assert code in str(error)
    assert len(str(error)) < 300


def test_error_table_is_covered_by_the_cases_above() -> None:
    cases = {case[1] for case in test_error_codes.pytestmark[0].args[1]}
    assert cases == set(ERROR_CODES)


def test_errors_travel_between_processes() -> None:
    error = error_of(SALT.replace("SG 225", "SG 231"))
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.line, copy.found, copy.expected) == (error.code, error.line, error.found, error.expected)
    assert pickle.loads(pickle.dumps(CODEC)) == CODEC


@pytest.mark.parametrize(
    "text",
    [
        SALT.replace("5", "\u0665"),  # Arabic-Indic five
        SALT.replace("SG 225", "SG \uff12\uff12\uff15"),  # full-width digits
        SALT.replace("Na 4a", "N\u0430 4a"),  # Cyrillic a
        SALT.replace("Na 4a", "Na 4\u00b2a"),
        SALT.replace(" ", "\u00a0"),
        SALT.replace("\n", "\r\n"),
        SALT.replace("\n", "\u2028"),
        SALT + "\0",
        SALT + "\n\n",
        " " + SALT,
        SALT.replace("5.640", "-5.640"),
        SALT.replace("5.640", "5.6e0"),
        SALT.replace("5.640", "nan"),
        SALT + "\n" + SALT,
        "<answer>" + SALT + "</answer>",
    ],
)
def test_look_alikes_are_rejected(text: str) -> None:
    error_of(text)


def test_one_final_newline_is_allowed() -> None:
    assert CODEC.decode(SALT + "\n") == CODEC.decode(SALT)


@pytest.mark.parametrize(
    "text", ["\n" * 19_000, "Na4Cl4\nSG 225\nCELL 5.640\n" + "Na 4a\n" * 3_000, "Na1" * 6_000 + SALT]
)
def test_long_texts_are_refused_quickly(text: str) -> None:
    started = time.process_time()
    error_of(text)
    assert CODEC.fraction_accepted(text) < 1.0
    assert time.process_time() - started < 1.0


def test_fraction_accepted_counts_lines() -> None:
    assert CODEC.fraction_accepted(SALT) == 1.0
    assert CODEC.fraction_accepted(SALT.replace("Cl 4b", "Cl 8b")) == pytest.approx(4 / 5)
    assert CODEC.fraction_accepted(SALT.replace("SG 225", "SG x")) == pytest.approx(1 / 5)  # the rest has no meaning
    assert CODEC.fraction_accepted("Na4Cl4\nSG 225") == pytest.approx(2 / 4)
    assert CODEC.fraction_accepted("hello") == 0.0


@pytest.mark.parametrize("formula_line", [True, False])
@pytest.mark.parametrize("cell_last", [True, False])
def test_variants_read_only_their_own(formula_line: bool, cell_last: bool) -> None:
    codec = WyText(formula_line, cell_last)
    assert get_codec(codec.name) == codec
    text = codec.canonical(CODEC.decode(HALF_HEUSLER))
    for other in (WyText(a, b) for a in (True, False) for b in (True, False)):
        if other == codec:
            assert other.decode(text) == CODEC.decode(HALF_HEUSLER)
        else:
            error_of(text, other)


def test_canonical_orders_sites_and_takes_the_smallest_coordinates() -> None:
    text = "O6Si3\nSG 154\nCELL 4.913 5.405\nO 6c .146 .733 .548\nSi 3a 0.47"
    assert CODEC.canonical(CODEC.decode(text)) == QUARTZ
    rutile = "Ti2O4\nSG 136\nCELL 4.594 2.959\nTi 2a\nO 4f 0.695"
    assert CODEC.canonical(CODEC.decode(rutile)).endswith("O 4f 0.305")


def test_origin_variants_are_the_same_crystal() -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    salt = CODEC.decode(SALT)
    assert [CODEC.canonical(v) for v in origin_variants(salt)] == [
        SALT.replace("4a", "4x").replace("4b", "4a").replace("4x", "4b")
    ]
    matcher = StructureMatcher(scale=False)
    for text in (HALF_HEUSLER, QUARTZ, *(row["text"] for row in PROTOTYPES[::40])):
        crystal = CODEC.decode(text)
        for variant in origin_variants(crystal):
            assert variant.composition == crystal.composition
            rms, _ = matcher.get_rms_dist(crystal.to_structure(True), variant.to_structure(True)) or (1.0, 1.0)
            assert rms < 1e-4
            assert CODEC.decode(CODEC.canonical(variant)).sg == crystal.sg


@st.composite
def crystals(draw: st.DrawFn) -> Crystal:
    """Any crystal the grammar can hold: random group, cell, positions and coordinates with 1 to 6 decimals."""
    number = draw(st.integers(1, 230))
    group = space_group(number)
    free = [
        draw(st.integers(1200, 60_000)) / 1000 if len(name) == 1 else draw(st.integers(6000, 11_000)) / 100
        for name in cell_parameter_names(number)
    ]
    if number <= 2:
        free[3:] = [value - 10 for value in (85.0, 95.5, 110.25)]
    sites: list[Site] = []
    for letter in draw(st.lists(st.sampled_from(sorted(group.positions)), min_size=1, max_size=4)):
        position = group.positions[letter]
        used = any(site.letter == letter for site in sites)
        if (used and not position.dof) or sum(s.multiplicity for s in sites) + position.multiplicity > 400:
            continue
        decimals = draw(st.integers(1, 6))
        coords = tuple(draw(st.integers(0, 10**decimals - 1)) / 10**decimals for _ in range(position.dof))
        element = draw(st.sampled_from(["Na", "Cl", "O", "He", "C", "Ca", "Lr"]))
        sites.append(Site(element, letter, position.multiplicity, coords))
    return Crystal(number, full_cell(number, free), tuple(sites))


@settings(max_examples=150)
@given(crystals(), st.booleans(), st.booleans())
def test_canonical_text_is_a_fixed_point(crystal: Crystal, formula_line: bool, cell_last: bool) -> None:
    codec = WyText(formula_line, cell_last)
    text = codec.canonical(crystal)
    decoded = codec.decode(text)
    assert codec.canonical(decoded) == text
    assert decoded.composition == {el: crystal.composition[el] for el in decoded.composition}
    assert codec.fraction_accepted(text) == 1.0


ALPHABET = "0123456789. \nSGCELNaCl abz-\u0663\0"


@settings(max_examples=1500)
@given(
    st.sampled_from(PROTOTYPES),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 3), st.sampled_from(ALPHABET)), max_size=4),
)
def test_mutated_texts_give_a_crystal_or_a_codec_error(row: dict[str, str], edits: list[tuple[int, int, str]]) -> None:
    text = row["text"]
    for at, removed, added in edits:
        text = text[:at] + added + text[at + removed :]
    try:
        crystal = CODEC.decode(text)
    except CodecError:
        assert CODEC.fraction_accepted(text) < 1.0
    else:
        canonical = CODEC.canonical(crystal)
        assert CODEC.canonical(CODEC.decode(canonical)) == canonical
        assert crystal.frac.shape == (crystal.n_atoms, 3)


@settings(max_examples=1000)
@given(st.text(max_size=200))
def test_random_texts_give_only_codec_errors(text: str) -> None:
    for name in ("wytext", "wytext-bare", "explicit", "coords"):
        codec = get_codec(name)
        with pytest.raises(CodecError):
            codec.decode(text)
        assert 0.0 <= codec.fraction_accepted(text) < 1.0
