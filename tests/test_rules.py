"""The page of rules names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_rule_has_the_tests_it_names() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d+\.", line)]
    assert len(rows) == 11
    for row in rows:
        named = re.findall(r"`(tests/\S+?)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"
