"""Checks of a dataset folder: file hashes, every case read back, counts, and patients shared between splits.

Research software, not medical advice.
"""

from __future__ import annotations

from pathlib import Path

from domains.medical.datasets import BAYES_FILE, load_bayes
from domains.medical.rows import folder_kb, load_cases
from domains.medical.schema import Case
from sciRL.dataset_folder import SPLITS, across_splits, at_most, count_problems, file_problems, read_manifest
from sciRL.errors import UserError


def check(folder: Path) -> list[str]:
    """Return the problems of a dataset folder, one line each, at most 50 and a count of the rest.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "medical")
    problems = file_problems(folder, manifest)
    parts: dict[str, tuple[Case, ...]] = {}
    for split in SPLITS:
        try:
            parts[split] = load_cases(folder, split)
        except UserError as error:
            problems.append(str(error))
    problems += count_problems(parts, manifest)
    ids = [case.id for cases in parts.values() for case in cases]
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} case ids are used more than once")
    shared = across_splits(parts, lambda case: case.group)
    if shared and manifest.get("split_by") != "source":
        problems.append(f"{len(shared)} patients are in more than one split, for example {shared[0]}")
    return at_most([*problems, *_beside_problems(folder)])


def _beside_problems(folder: Path) -> list[str]:
    """Return what is wrong with the knowledge base or the counts beside the cases."""
    try:
        kb = folder_kb(folder)
        if (folder / BAYES_FILE).is_file():
            load_bayes(folder)
    except (UserError, ValueError, KeyError) as error:
        return [str(error)]
    pairs = kb.indistinct_pairs() if kb is not None else []
    return [f"kb.txt: {first} and {second} differ by 0.3 in fewer than two findings" for first, second in pairs]
