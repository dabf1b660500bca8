"""The crystal rubric of a run, made from its dataset and options, and the metrics of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from domains.crystal.answers import answer_codec, requires_tags
from domains.crystal.codec import WyText
from domains.crystal.metrics import diversity
from domains.crystal.novelty import TrainingSet
from domains.crystal.options import CrystalOptions
from domains.crystal.rows import load_rows
from domains.crystal.rubrics import make_rubric
from sciRL.domain import Record
from sciRL.verification.base import Rubric


@lru_cache(maxsize=4)
def training_set(data: Path) -> TrainingSet:
    """Return the training split as the reference for novelty and distributions."""
    return TrainingSet.from_rows([asdict(row) for row in load_rows(data, "train")], WyText())


def build_rubric(data: Path, options: CrystalOptions, preset: str) -> Rubric:
    """Return the rubric `preset` over the training split of `data`."""
    return make_rubric(
        preset,
        training=training_set(data),
        codec=answer_codec(options),
        require_tags=requires_tags(options),
    )


def summarize(records: Sequence[Record], data: Path) -> dict[str, float]:
    """Return diversity and distribution metrics against the training split."""
    return diversity([record.score for record in records], training_set(data))
