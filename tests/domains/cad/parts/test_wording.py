"""Descriptions: each level says what it should, units convert, and variants really lack or add a number."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from domains.cad.parts.catalogue import (
    FAMILIES,
    Part,
    describe,
    describe_ambiguous,
    describe_distracted,
    make_part,
    parameter_line,
)
from domains.cad.parts.family import LEVELS, REGIONS
from domains.cad.parts.wording import UNIT, UNITS, Units, fields_of, fill
from sciRL.errors import UserError

EVERY = pytest.mark.parametrize("name", FAMILIES)


def drawn(name: str, count: int) -> list[Part]:
    rng = random.Random(f"wording {name}")
    return [make_part(name, rng, REGIONS[index % 3]) for index in range(count)]


MILLIMETRES = {"mm": 1.0, "cm": 10.0, "inch": 25.4}
ROUNDING = {"mm": 0.0, "cm": 0.0, "inch": 25.4 / 128}
NUMBER = re.compile(r"(?<![\w.])(?:(?:(\d+) )?(\d+)/(\d+)|\d+(?:\.\d+)?)(?: (mm|cm|in)\b(?! [xyz]\b))?")


def numbers(text: str, units: Units) -> Counter[tuple[float, bool]]:
    """Count the numbers of a text, lengths in mm, with whether each is a length; mixed fractions are one number."""
    found: Counter[tuple[float, bool]] = Counter()
    for match in NUMBER.finditer(text.removesuffix(UNIT[units].note)):
        whole, upper, lower, label = match.groups()
        value = int(whole or 0) + int(upper) / int(lower) if lower else float(match[0].split()[0])
        found[round(value * (MILLIMETRES[units] if label else 1.0), 6), label is not None] += 1
    return found


def wanted(part: Part) -> Counter[tuple[float, bool]]:
    return Counter((float(value), isinstance(value, float)) for value in part.parameters.values().values())


@EVERY
@pytest.mark.parametrize("units", ["mm", "cm"])
def test_expert_wordings_mention_every_number_exactly(name: str, units: Units) -> None:
    for part in drawn(name, 5):
        for template in FAMILIES[name].texts["expert"]:
            found = numbers(fill(template, part.parameters.values(), units), units)
            # The only number beside the parameters is a place: "y = 0".
            assert found - Counter({(0.0, False): 1}) == wanted(part), template


@EVERY
def test_every_expert_wording_has_every_field(name: str) -> None:
    family = FAMILIES[name]
    for template in family.texts["expert"]:
        assert set(fields_of(template)) == set(family.Parameters.__dataclass_fields__)
        assert len(fields_of(template)) == len(set(fields_of(template)))


@EVERY
def test_inches_are_within_the_stated_rounding(name: str) -> None:
    for part in drawn(name, 5):
        for field, value in part.parameters.lengths().items():
            text = fill(f"size {{{field}}}.", {field: value}, "inch")
            assert text.endswith(" in. Inches are rounded to the nearest 1/64.")
            ((read, is_length),) = numbers(text, "inch")
            assert is_length
            assert abs(read - value) <= ROUNDING["inch"] + 1e-6
            assert read * 64 / 25.4 == pytest.approx(round(read * 64 / 25.4), abs=1e-5)


@pytest.mark.parametrize(
    ("length", "units", "text"),
    [
        (12.5, "mm", "12.5 mm"),
        (60.0, "mm", "60 mm"),
        (12.5, "cm", "1.25 cm"),
        (60.0, "cm", "6 cm"),
        (0.5, "cm", "0.05 cm"),
        (25.4, "inch", "1 in"),
        (60.325, "inch", "2 3/8 in"),
        (0.1, "inch", "1/64 in"),
        (25.3, "inch", "1 in"),
    ],
)
def test_lengths_in_words(length: float, units: Units, text: str) -> None:
    assert fill("{a}", {"a": length}, units).removesuffix(UNIT[units].note) == text


@EVERY
def test_levels_say_more_and_more(name: str) -> None:
    texts = FAMILIES[name].texts
    assert tuple(texts) == LEVELS
    told = {level: [len(set(fields_of(template))) for template in texts[level]] for level in LEVELS}
    assert set(told["abstract"]) == {0}
    assert not any(re.search(r"\d", template) for template in texts["abstract"])
    assert min(told["beginner"]) > 0
    assert min(told["beginner"]) <= max(told["beginner"]) <= max(told["intermediate"]) <= min(told["expert"])
    assert len(texts["expert"]) >= 3
    assert all(len(set(texts[level])) == len(texts[level]) >= 2 for level in LEVELS)


@EVERY
@pytest.mark.parametrize("units", UNITS)
def test_ambiguous_descriptions_lack_one_number(name: str, units: Units) -> None:
    for index, part in enumerate(drawn(name, 6)):
        found, values = describe_ambiguous(part, units, random.Random(index)), part.parameters.values()
        templates = FAMILIES[name].texts["expert"]
        template = next(each for each in templates if fill(each, values, units, found.missing) == found.text)
        whole, left = numbers(fill(template, values, units), units), numbers(found.text, units)
        assert left < whole
        ((lost, is_length),) = (whole - left).elements()
        assert is_length == isinstance(values[found.missing], float)
        assert abs(lost - values[found.missing]) <= ROUNDING[units] + 1e-6
        assert ("to suit" if is_length else "some") in found.text


@EVERY
def test_distractors_add_numbers_that_are_no_parameters(name: str) -> None:
    for index, part in enumerate(drawn(name, 12)):
        for level in LEVELS:
            text = describe_distracted(part, level, "mm", random.Random(index))
            plain = [fill(template, part.parameters.values(), "mm") for template in FAMILIES[name].texts[level]]
            inner = next(sentence for sentence in plain if sentence in text)
            added = numbers(text, "mm") - numbers(inner, "mm")
            assert added
            assert not {value for value, is_length in added if is_length} & set(part.parameters.lengths().values())


def test_wordings_vary_and_are_seeded() -> None:
    part = make_part("flange", random.Random(0))
    texts = {describe(part, "expert", "mm", random.Random(seed)) for seed in range(20)}
    assert len(texts) == 3
    assert describe(part, "expert", "cm", random.Random(1)) == describe(part, "expert", "cm", random.Random(1))


def test_unknown_levels_and_units_are_refused() -> None:
    part = make_part("spacer", random.Random(0))
    with pytest.raises(UserError, match="unknown level 'guru'; allowed are abstract, beginner, intermediate, expert"):
        describe(part, "guru", "mm", random.Random(0))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown units 'feet'; allowed are mm, cm, inch"):
        describe_ambiguous(part, "feet", random.Random(0))  # type: ignore[arg-type]


def test_the_parameter_line_names_every_number() -> None:
    part = make_part("spacer", random.Random(0))
    words = parameter_line(part).split()
    assert words[0] == "spacer"
    read = {name: float(value) for name, _, value in (word.partition("=") for word in words[1:])}
    assert read == part.parameters.values()
