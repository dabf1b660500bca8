"""Charge neutrality on textbook compounds, formulas, and bounded work."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.crystal.chemistry import composition_key, neutrality, parse_formula
from domains.crystal.element_facts import element_facts


@pytest.mark.parametrize(
    ("formula", "kind"),
    [
        ("NaCl", "ionic"),
        ("SrTiO3", "ionic"),
        ("Fe2O3", "ionic"),
        ("Fe3O4", "mixed_valence"),
        ("Ni3Al", "metallic"),
        ("Si", "unary"),
        ("NaCl2", "none"),
        ("Na3O", "none"),
        ("KMgF2", "none"),
    ],
)
def test_textbook_compounds(formula: str, kind: str) -> None:
    counts = parse_formula(formula)
    assert counts is not None
    verdict = neutrality(counts)
    assert verdict.kind == kind
    assert verdict.neutral == (kind != "none")


def test_neutral_assignment_balances() -> None:
    verdict = neutrality({"Sr": 1, "Ti": 1, "O": 3})
    states = dict(verdict.states)
    assert states["Sr"][0] + states["Ti"][0] + 3 * states["O"][0] == 0
    assert verdict.pauling


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(sorted(element_facts())), st.integers(1, 400), min_size=1, max_size=12))
def test_any_composition_is_decided_quickly(composition: dict[str, int]) -> None:
    start = time.process_time()
    neutrality(composition)
    assert time.process_time() - start < 2


@given(st.dictionaries(st.sampled_from(sorted(element_facts())), st.integers(1, 50), min_size=1, max_size=5))
def test_formula_round_trip(composition: dict[str, int]) -> None:
    assert parse_formula("".join(f"{el}{n}" for el, n in composition.items())) == composition


@pytest.mark.parametrize("text", ["", "Xx", "NaCl)", "(NaCl", "()2", "Na0", "nacl", "Na٣", "2NaCl", "Na Cl-"])
def test_bad_formulas_are_none(text: str) -> None:
    assert parse_formula(text) is None


def test_key_ignores_order_and_multiples() -> None:
    assert composition_key({"Cl": 4, "Na": 4}) == composition_key({"Na": 1, "Cl": 1})
    assert parse_formula("Y(GaCo)6") == {"Y": 1, "Ga": 6, "Co": 6}
