"""The other text forms: explicit Wyckoff text, coordinates, CIF; and codecs by name."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.crystal.codec import Cif, CodecError, Coordinates, ExplicitWyckoff, WyText, get_codec
from domains.crystal.tables import read_table
from sciRL.errors import UserError

PROTOTYPES = [json.loads(line) for line in read_table("prototypes.jsonl").splitlines()]
EXPLICIT = ExplicitWyckoff()
HALF_HEUSLER = WyText().decode("Ti4Ni4Sn4\nSG 216\nCELL 5.930\nTi 4b\nNi 4c\nSn 4a")
HALF_HEUSLER_EXPLICIT = """Ti4Ni4Sn4
Spacegroup: F-43m
abc: 5.93 5.93 5.93
angles: 90.00 90.00 90.00
Sites (12)
Ti 0.500 0.500 0.500 4b
Ni 0.250 0.250 0.250 4c
Sn 0.000 0.000 0.000 4a"""


def code_of(decode: Callable[[str], object], text: str) -> tuple[str, int]:
    with pytest.raises(CodecError) as caught:
        decode(text)
    return caught.value.code, caught.value.line


def test_explicit_half_heusler_is_the_wytext_one() -> None:
    crystal = EXPLICIT.decode(HALF_HEUSLER_EXPLICIT)
    assert (crystal.n_atoms, crystal.sg) == (12, 216)
    assert crystal == HALF_HEUSLER
    assert EXPLICIT.write(crystal) == HALF_HEUSLER_EXPLICIT


def test_explicit_prototypes_keep_their_sites() -> None:
    for row in PROTOTYPES:
        crystal = WyText().decode(row["text"])
        text = EXPLICIT.write(crystal)
        read = EXPLICIT.decode(text)
        assert (read.sg, read.composition, read.template) == (crystal.sg, crystal.composition, crystal.template)
        assert EXPLICIT.fraction_accepted(text) == 1.0


def test_explicit_reads_any_atom_of_the_orbit() -> None:
    text = HALF_HEUSLER_EXPLICIT.replace("0.250 0.250 0.250", "0.750 0.250 0.750")
    assert EXPLICIT.decode(text) == HALF_HEUSLER


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("Ti4Ni4Sn4", "TiNiSn", "E_FORMULA", 1),
        ("Ti4Ni4Sn4", "Ti8Ni4Sn4", "E_COUNT", 1),
        ("F-43m", "Q-43m", "E_SG", 2),
        ("abc: 5.93 5.93 5.93", "abc: 5.93 5.93", "E_CELL", 3),
        ("abc: 5.93 5.93 5.93", "abc: 5.93 5.93 5.99", "E_CELL_RANGE", 3),
        ("angles: 90.00", "angles: 91.00", "E_CELL_RANGE", 4),
        ("(12)", "(13)", "E_COUNT", 5),
        ("(12)", "12", "E_COUNT", 5),
        ("Ti 0.500", "Ti  0.500", "E_SITE", 6),
        ("Ti 0", "Tj 0", "E_ELEMENT", 6),
        ("4b", "4z", "E_LETTER", 6),
        ("4b", "8b", "E_MULT", 6),
        ("0.500 0.500 0.500", "0.500 0.510 0.500", "E_DOF", 6),
        ("0.250 0.250 0.250", "1.250 0.250 0.250", "E_RANGE", 7),
        ("0.000 0.000 0.000 4a", "0.500 0.500 0.500 4b", "E_REUSE", 8),
    ],
)
def test_explicit_errors(old: str, new: str, code: str, line: int) -> None:
    text = HALF_HEUSLER_EXPLICIT.replace(old, new, 1)
    assert code_of(EXPLICIT.decode, text) == (code, line)
    assert EXPLICIT.fraction_accepted(text) == pytest.approx((line - 1) / 8)


def test_coordinates_keep_every_atom() -> None:
    codec = Coordinates()
    text = codec.write(HALF_HEUSLER)
    crystal = codec.decode(text)
    assert len(text.split("\n")) == 2 + 12
    assert (crystal.sg, crystal.formula, crystal.n_atoms) == (1, "Ti4Ni4Sn4", 12)
    assert crystal.volume == pytest.approx(HALF_HEUSLER.volume)
    assert codec.encode(HALF_HEUSLER.to_structure()) == text


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("3 3 3\n90 90 90", "E_SHORT", 2),
        ("3 3\n90 90 90\nPo 0 0 0", "E_CELL", 1),
        ("3 3 3\n90 90 x\nPo 0 0 0", "E_CELL", 2),
        ("3 3 3\n90 90 190\nPo 0 0 0", "E_CELL_RANGE", 1),
        ("3 3 3\n90 90 90\nPo 0 0", "E_SITE", 3),
        ("3 3 3\n90 90 90\nPo 0.1 0 0\nXy 0.1 0.2 0.3", "E_SITE", 3),
        ("3 3 3\n90 90 90\nPo 0.1 0.2 0.3\nXy 0.1 0.2 0.3", "E_ELEMENT", 4),
        ("3 3 3\n90 90 90\nPo 0.1 0.2 1.3", "E_RANGE", 3),
        ("9 9 9\n90 90 90\n" + "H 0.1 0.2 0.3\n" * 401, "E_SIZE", 403),
    ],
)
def test_coordinate_errors(text: str, code: str, line: int) -> None:
    if code == "E_SITE" and "0.1 0 0" in text:
        text = text.replace("0.1 0 0", "0.1 0 0 0")
    assert code_of(Coordinates().decode, text) == (code, line)


def test_cif_round_trip() -> None:
    text = Cif().encode(HALF_HEUSLER.to_structure())
    crystal = Cif().decode(text)
    assert (crystal.sg, sorted(crystal.composition.items())) == (1, sorted(HALF_HEUSLER.composition.items()))
    assert Cif().fraction_accepted(text) == 1.0


@pytest.mark.parametrize("text", ["", "data_x", "hello\n" * 10, "data_x\nloop_\n_atom_site_fract_x\n\0", "\u0665" * 50])
def test_cif_rejects_what_is_no_cif(text: str) -> None:
    code_of(Cif().decode, text)
    assert Cif().fraction_accepted(text) == 0.0


def test_cif_refuses_too_many_images() -> None:
    text = HALF_HEUSLER.to_cif().replace("'P 1'", "'Fm-3m'").replace("Tables_number   1", "Tables_number   225")
    listed = "loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n"
    assert listed in text
    atoms = "\n".join(f"  Ti  Tx{n}  0.1{n:03d}  0.2  0.3  1" for n in range(150))
    assert code_of(Cif().decode, text.replace(listed, "") + atoms)[0] == "E_SIZE"
    assert code_of(Cif().decode, "#" * 100_000)[0] == "E_SIZE"


@settings(max_examples=40)
@given(st.integers(0, 900), st.integers(0, 6), st.text(max_size=4))
def test_mutated_cif_gives_a_crystal_or_a_codec_error(at: int, removed: int, added: str) -> None:
    text = HALF_HEUSLER.to_cif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Cif().decode(text[:at] + added + text[at + removed :])
        except CodecError:
            return


@pytest.mark.parametrize("name", ["wytext", "wytext-bare-cell-last", "explicit", "coords", "cif"])
def test_codecs_by_name(name: str) -> None:
    codec = get_codec(name)
    assert codec.name == name
    crystal = codec.decode(codec.encode(HALF_HEUSLER.to_structure()))
    assert crystal.reduced_formula == "TiNiSn"


def test_unknown_codec_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown codec 'xml'; known: wytext, .*cif"):
        get_codec("xml")
