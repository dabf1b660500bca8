"""A folder of a user's own programs, through the recipe that `scirl train cad` takes when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from domains.cad import DOMAIN
from sciRL.config import load_config
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms
from sciRL.run.settings import RunConfig, for_domain

pytest.importorskip("cadquery", reason="CadQuery is not installed")

PROGRAM = """import cadquery as cq

# A plate of someone else's hand: other names, other calls, a comment.
length_of_plate, thickness = {length}, 4.0
plate_with_bore = cq.Workplane("XY").box(length_of_plate, 20.0, thickness).faces(">Z").workplane().hole(5.0)
result = plate_with_bore
"""
SHORT = ["stages.sft.steps=2", "stages.grpo.steps=1", "stages.grpo.train.prompts=1", "evaluation.samples=2"]


def test_own_programs_train_with_the_default_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "programs"
    source.mkdir()
    for index in range(10):
        (source / f"plate{index}.py").write_text(PROGRAM.format(length=30.0 + index))
    (source / "broken.py").write_text("import cadquery as cq\nresult = cq.Workplane(\n")
    given = [*SHORT, "controls=false"]
    out = train(DOMAIN, DOMAIN.recipes / "tiny.yaml", source, None, given, tmp_path / "run")
    assert "kept 10 of 11 rows" in capsys.readouterr().out
    assert list(load_arms(out / "results")) == ["untrained", "sft", "grpo"]
    limit = load_config(for_domain(RunConfig, DOMAIN), out / "config.yaml").stages["grpo"].train.sampling.max_new_tokens
    # More than the 64 tokens that the longest generated program takes: these are spelt nearly letter by letter.
    assert limit > 64
    assert limit % 64 == 0
