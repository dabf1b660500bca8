"""Tasks: one per held-out start condition; the reference carries the scenario, the prompt only names it."""

from __future__ import annotations

import torch

from domains.nanorobot.noise import RowNoise, seed_tensor
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.scenario import fixed_part
from domains.nanorobot.starts import draw_starts
from sciRL.errors import UserError
from sciRL.task import Task

DOMAIN_NAME = "nanorobot"
SPLIT_SEEDS = {"train": 0, "validation": 1 << 32, "test": 2 << 32}
"""First seed of each split; a split's tasks count on from it, so that no two splits share a start condition."""


def make_tasks(options: NanorobotOptions, split: str) -> list[Task]:
    """Return `options.test_tasks` tasks of a split, each with its own start position, heading and tumours.

    The task of index i depends on the options, the split and i alone.

    Raises:
        UserError: an unknown split.
    """
    if split not in SPLIT_SEEDS:
        raise UserError(f"split: {split!r} is unknown; allowed: {', '.join(SPLIT_SEEDS)}")
    if options.preset == "kavousinejad2024":
        from domains.nanorobot.kavousinejad import make_references

        references = make_references(options.test_tasks, SPLIT_SEEDS[split])
    else:
        references = _references(options, SPLIT_SEEDS[split])
    return [_task(options, split, index, reference) for index, reference in enumerate(references)]


def _references(options: NanorobotOptions, first_seed: int) -> list[dict[str, object]]:
    device = torch.device("cpu")
    seeds = seed_tensor(range(first_seed, first_seed + options.test_tasks), device)
    starts = draw_starts(options, RowNoise(seeds), len(seeds), device)
    shared = fixed_part(options)
    positions, headings = starts.position.T.tolist(), starts.heading.T.tolist()
    tumours = starts.tumours.permute(2, 0, 1).tolist()
    if options.placement == "fixed":
        tumours = [[list(position) for position in options.tumour_positions]] * len(positions)
    return [
        {**shared, "start": positions[i], "heading": headings[i], "tumours": tumours[i]}
        for i in range(options.test_tasks)
    ]


def _task(options: NanorobotOptions, split: str, index: int, reference: dict[str, object]) -> Task:
    text = f"Find a tumour by its biomarker: preset {options.preset}, start condition {index} of split {split}."
    return Task(
        DOMAIN_NAME,
        ({"role": "user", "content": text},),
        reference=reference,
        metadata={"split": split, "group": f"{split}-{index}"},
    )
