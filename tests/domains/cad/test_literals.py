"""Numbers of a program are its literals and what follows from them; comments and strings do not count."""

import ast

import pytest

from domains.cad.literals import constants, share_present


def share(source: str, *numbers: float) -> float:
    return share_present(ast.parse(source), numbers)


def test_literals_names_and_folded_constants_count() -> None:
    assert sorted(constants(ast.parse("w = 40\nbox(w / 2, 8)"))) == [2.0, 8.0, 20.0, 40.0]
    assert share("w: float = 40\nh = w / 4\nbox(w - 2 * h, -5)", 20, 10, 5) == 1.0


@pytest.mark.parametrize("source", ["# 12.5\nx = 1", "x = '12.5'", '"""12.5"""', "x = True", "x = 1e999"])
def test_comments_strings_and_booleans_do_not_count(source: str) -> None:
    assert share(source, 12.5) == 0.0


def test_the_share_is_over_the_asked_numbers() -> None:
    assert share("box(60, 40, 8)", 60, 40, 8, 5) == 0.75
    assert share("box(60, 40, 8)") == 1.0


def test_a_name_counts_with_its_last_constant_and_not_when_it_varies() -> None:
    assert share("a = 3\na = 7\nf(a * 2)", 14) == 1.0
    assert share("for i in range(9):\n    f(i * 1.5)", 3.0) == 0.0


def test_a_deep_expression_ends() -> None:
    assert share("x = " + "+".join(["1"] * 300), 300) == 0.0
