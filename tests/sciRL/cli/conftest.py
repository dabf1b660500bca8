"""A toy domain installed as any domain is: through an entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOY = """
from pathlib import Path
from pydantic import BaseModel, ConfigDict
from sciRL.domain import BuildReport, Demonstration, LanguageDomain, Vocabulary
from sciRL.errors import UserError
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    largest: int = 3

class Right(PerItemVerifier):
    name = "right"
    def verify_one(self, task, answer):
        return Score.ok(float(answer == str(task.reference)))

class Toy(LanguageDomain):
    name, title, Options = "toy", "Sums of two numbers", Options
    recipes = Path(__file__).parent / "recipes"
    def build(self, source, out, options):
        if not Path(source).exists():
            raise UserError(f"source {source} does not exist")
        out.mkdir()
        (out / "manifest.json").write_text('{"domain": "toy"}')
        (out / "rows.jsonl").write_text("")
        return BuildReport(out, 5, 3, {"too long": 2}, {"train": 2, "test": 1}, ["1+1"])
    def check(self, folder):
        return [] if (folder / "rows.jsonl").exists() else ["rows.jsonl is missing"]
    def tasks(self, data, split, options):
        return [Task("toy", ({"role": "user", "content": f"1+{i}?"},), i + 1) for i in range(options.largest)]
    def demonstrations(self, data, split, options, seed):
        return [Demonstration(task, str(task.reference)) for task in self.tasks(data, split, options)]
    def rubric(self, data, options, preset=None):
        if preset not in (None, "exact"):
            raise UserError(f"unknown rubric {preset!r}; allowed: exact")
        return Rubric("toy", [Stage(Right(), 1.0)])
    def vocabulary(self, data, options):
        return Vocabulary(tuple("0123456789+?"))
    def default_data(self):
        return Path(__file__).parent

DOMAIN = Toy()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the installed toy domain; also the working directory."""
    site = tmp_path / "site"
    info = site / "toy_domain-1.0.dist-info"
    info.mkdir(parents=True)
    package = site / "toy_domain"
    (package / "recipes").mkdir(parents=True)
    (package / "__init__.py").write_text(TOY)
    (package / "recipes" / "tiny.yaml").write_text("seed: 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-domain\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sciRL.domains]\ntoy = toy_domain:DOMAIN\nbroken = no_such_package:X\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "toy_domain", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
