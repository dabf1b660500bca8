"""A tiny real domain of pictures: all questions read alike, and only the picture says which letter is right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sciRL.domain import BuildReport, Demonstration, LanguageDomain, Vocabulary
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage

COLOURS = {"r": (230, 40, 40), "g": (40, 230, 40), "b": (40, 40, 230)}
SPLITS = {"train": range(24), "validation": range(24, 30), "test": range(30, 42)}


class PictureOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Letter(PerItemVerifier):
    name = "letter"

    def verify_one(self, task: Task, answer: str) -> Score:
        return Score.ok(float(answer == task.reference)) if len(answer) == 1 else Score.malformed("one letter is asked")


class PictureDomain(LanguageDomain):
    name = "colours"
    title = "Name the colour"
    Options = PictureOptions
    recipes = Path(__file__).parent

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        from PIL import Image

        out.mkdir(parents=True)
        generator = np.random.default_rng(0)
        for index in range(42):
            colour = np.array(COLOURS["rgb"[index % 3]])
            noise = generator.integers(-25, 26, (56, 56, 3))
            Image.fromarray((colour + noise).astype(np.uint8)).save(out / f"{index}.png")
        (out / "manifest.json").write_text(json.dumps({"rows": 42}))
        return BuildReport(out, 42, 42)

    def check(self, folder: Path) -> list[str]:
        return []

    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        prompt = ({"role": "user", "content": "Colour?"},)
        return [
            Task(self.name, prompt, reference="rgb"[i % 3], images=(str(data / f"{i}.png"),)) for i in SPLITS[split]
        ]

    def demonstrations(self, data: Path, split: str, options: Any, seed: int) -> Sequence[Demonstration]:
        return [Demonstration(task, str(task.reference)) for task in self.tasks(data, split, options)]

    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        return Rubric("letter", [Stage(Letter(), 1.0)])

    def vocabulary(self, data: Path, options: Any) -> Vocabulary:
        return Vocabulary(("r", "g", "b"))

    def default_data(self) -> Path:
        raise NotImplementedError("tests build it")


DOMAIN = PictureDomain()
