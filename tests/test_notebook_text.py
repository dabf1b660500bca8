"""Notebooks say in words what their cells show: no cell of text is a leftover mark of its writing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_paragraph_is_a_word_of_capitals(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert texts
    paragraphs = [paragraph.strip() for text in texts for paragraph in text.split("\n\n")]
    assert [paragraph for paragraph in paragraphs if not paragraph or re.fullmatch(r"[A-Z_]+", paragraph)] == []
