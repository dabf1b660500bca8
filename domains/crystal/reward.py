"""The crystal rubric of a run, made from its dataset and options, and the metrics of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from domains.crystal.answers import answer_codec, requires_tags
from domains.crystal.codec import WyText
from domains.crystal.energy import ChgnetModel
from domains.crystal.hull import Hull
from domains.crystal.metrics import diversity, space_group_split, stability
from domains.crystal.novelty import TrainingSet
from domains.crystal.options import CrystalOptions
from domains.crystal.pairs import BUILDERS, candidates
from domains.crystal.rows import load_rows
from domains.crystal.rubrics import make_rubric
from sciRL.dataset_folder import SPLITS
from sciRL.domain import Record
from sciRL.errors import UserError
from sciRL.verification.base import Rubric


@lru_cache(maxsize=4)
def training_set(data: Path) -> TrainingSet:
    """Return the training split as the reference for novelty and distributions."""
    return TrainingSet.from_rows([asdict(row) for row in load_rows(data, "train")], WyText())


def build_rubric(data: Path, options: CrystalOptions, preset: str) -> Rubric:
    """Return the rubric `preset` over the training split of `data`.

    Raises:
        UserError: unknown stage in `weights`, or a hull without an energy model, or no hull to be made.
    """
    energy = ChgnetModel() if options.energy_model == "chgnet" else None
    # The options' weights belong to the options' preset: an evaluation by another preset keeps that preset's own.
    weights = options.weights if preset == options.rubric else {}
    return make_rubric(
        preset,
        training=training_set(data),
        codec=answer_codec(options),
        require_tags=requires_tags(options),
        energy=energy,
        hull=build_hull(data, options.hull) if energy is not None else None,
        max_atoms=options.max_atoms,
        weights=weights,
    )


def build_hull(data: Path, source: str) -> Hull | None:
    """Return the hull of a CSV or ComputedEntry JSON file, or the partial hull of a dataset (`source` = "dataset").

    All splits of the dataset enter: a hull is reference knowledge, and every missing phase makes it wrong. A dataset
    without formation energies has no hull (None): formation energies can be judged, e_hull cannot.
    """
    if source == "dataset":
        rows = [asdict(row) for split in SPLITS for row in load_rows(data, split) if row.e_form is not None]
        return Hull.from_rows(rows, name=data.name) if rows else None
    path = Path(source)
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix == ".csv":
        return Hull.from_csv(path)
    if suffix == ".json":
        return Hull.from_entries(path)
    raise UserError(f"hull={source}: allowed are 'dataset', a .csv or a .json file, also with .gz")


def pair_indices(builder: str, records: Sequence[Record], seed: int) -> list[tuple[int, int]]:
    """Return (chosen, rejected) record indices by a builder of `pairs`, drawn among the answers of each prompt.

    Raises:
        UserError: an unknown builder.
    """
    if builder not in BUILDERS:
        raise UserError(
            f"unknown pair builder {builder!r}; allowed are best_vs_worst, best_vs_rest, {', '.join(BUILDERS)}"
        )
    by_prompt: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        # A verifier's failure says nothing about the answer: it can be neither preferred nor rejected.
        if record.score.scorable:
            by_prompt.setdefault(record.task.id, []).append(index)
    found: list[tuple[int, int]] = []
    for indices in by_prompt.values():
        made = BUILDERS[builder](candidates([records[index] for index in indices]), seed=seed)
        found += [(indices[pair.chosen_index], indices[pair.rejected_index]) for pair in made.pairs]
    return found


def summarize(records: Sequence[Record], data: Path) -> dict[str, float]:
    """Return diversity, distances from the training split, and rates of met space groups and of stable crystals.

    The stable-unique-novel rates are there when the rubric has the stage `e_hull`.
    """
    training = training_set(data)
    scores = [record.score for record in records]
    metrics = diversity(scores, training)
    if any("e_hull" in score.components for score in scores):
        metrics |= stability(scores)
    asked = [
        (r, r.task.reference["sg"]) for r in records if isinstance(r.task.reference, dict) and "sg" in r.task.reference
    ]
    if asked:
        metrics |= space_group_split([record.score for record, _ in asked], [group for _, group in asked], training)
    return metrics
