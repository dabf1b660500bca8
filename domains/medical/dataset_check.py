"""Checks of a dataset folder: file hashes, every case read back, counts, and patients shared between splits.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domains.medical.datasets import BAYES_FILE, load_bayes
from domains.medical.kb import KnowledgeBase
from domains.medical.lessons import DIALOGUES_FILE, load_lessons
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
    # A broken table is met once in every split.
    return at_most(list(dict.fromkeys([*problems, *_beside_problems(folder, parts.get("train", ()))])))


def _beside_problems(folder: Path, train: Sequence[Case]) -> list[str]:
    """Return what is wrong with the knowledge base, the counts or the dialogues beside the cases."""
    try:
        kb = folder_kb(folder)
        if (folder / BAYES_FILE).is_file():
            load_bayes(folder)
        dialogues = _dialogue_problems(folder, kb, train)
    except UserError as error:
        return [str(error)]
    pairs = kb.indistinct_pairs() if kb is not None else []
    alike = [f"kb.txt: {first} and {second} differ by 0.3 in fewer than two findings" for first, second in pairs]
    return [*alike, *dialogues]


def _dialogue_problems(folder: Path, kb: KnowledgeBase | None, train: Sequence[Case]) -> list[str]:
    """Return the dialogues that name what cases and table do not have; one that cannot be read raises `UserError`."""
    if not (folder / DIALOGUES_FILE).is_file():
        return []
    findings = set() if kb is None else set(kb.finding_index)
    labels = {case.id: case.labels for case in train}
    problems = []
    for number, lesson in enumerate(load_lessons(folder), start=1):
        unknown = [name for name in lesson.asked if name not in findings]
        if lesson.case_id not in labels:
            problem = f"no case of train has the id {lesson.case_id!r}"
        elif unknown:
            problem = f"{unknown[0]!r} is no finding of kb.txt"
        elif lesson.answer not in labels[lesson.case_id]:
            problem = f"the answer {lesson.answer!r} is no option of case {lesson.case_id!r}"
        else:
            continue
        problems.append(f"{DIALOGUES_FILE}: dialogue {number}: {problem}")
    return problems
