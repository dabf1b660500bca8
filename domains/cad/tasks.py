"""Tasks and demonstrations: how a part is asked for, and the program of the dataset as the answer."""

from __future__ import annotations

import random
from pathlib import Path

from domains.cad.options import CadOptions
from domains.cad.reading import write_answer
from domains.cad.rows import IMPORTED, CadRow, load_rows
from sciRL.domain import Demonstration
from sciRL.errors import UserError
from sciRL.task import Task

DOMAIN_NAME = "cad"

INSTRUCTION = """Write a CadQuery program (Python) that builds the part described below.

{question}

Lengths are in millimetres; the frame is right-handed with Z up. Import cadquery as cq, use only cadquery, math and
numpy, and assign the finished part, one solid, to the name `result`. {form}"""

PICTURED = "Build the part of the picture (isometric, top, front and right view); its box is {box} mm (X x Y x Z)."

PLAIN_FORM = "Answer with one fenced code block (```python)."
THINK_FORM = "Reason first between <think> and </think>, then give one fenced code block (```python)."


def make_tasks(data: Path, split: str, options: CadOptions) -> list[Task]:
    """Return one task per row of a split that can be asked as the options say, in the order of the file.

    Raises:
        UserError: an unknown family, no row has the text or design that the options ask with, or a row that is asked
            with a picture has none.
    """
    return [task for task, _ in _tasks_with_rows(data, split, options)]


def make_demonstrations(data: Path, split: str, options: CadOptions, seed: int) -> list[Demonstration]:
    """Return the tasks of a split with their programs as answers, in an order that `seed` draws.

    Rows without a program (a STEP file alone) have nothing to imitate and are left out; of the others the first
    `options.demonstrations` are taken where that is not 0.
    """
    pairs = [(task, row) for task, row in _tasks_with_rows(data, split, options) if row.code]
    if not pairs:
        raise UserError(f"{data}: no row of split {split!r} has a program to imitate")
    random.Random(seed).shuffle(pairs)
    taken = pairs[: options.demonstrations] if options.demonstrations else pairs
    return [Demonstration(task, answer_of(row, options)) for task, row in taken]


def answer_of(row: CadRow, options: CadOptions) -> str:
    """Return the answer a policy should give: bare code for compact prompts, thinking and a code block for chat."""
    if options.prompt_style == "compact":
        return row.code.strip() + "\n"
    return write_answer(row.code, row.think if options.think else None)


def _tasks_with_rows(data: Path, split: str, options: CadOptions) -> list[tuple[Task, CadRow]]:
    rows = load_rows(data, split)
    known = {row.family for row in rows}
    for family in options.families:
        if rows and family not in known and IMPORTED not in known:
            raise UserError(
                f"{data}: no row of split {split!r} is of family {family!r}; found {', '.join(sorted(known))}"
            )
    pairs = []
    for row in rows:
        question = make_question(row, options)
        if question and (not options.families or row.family in (*options.families, IMPORTED)):
            pairs.append((_task(row, question, split, options, _images(row, data, options)), row))
    if rows and not pairs:
        raise UserError(f"{data}: no row of split {split!r} can be asked with ask={options.ask} level={options.level}")
    return pairs


def make_question(row: CadRow, options: CadOptions) -> str:
    """Return what states the part, or "" when the row has neither words nor a design.

    The nearest level stands in for a missing one, and words for a missing design. A picture alone does not say how
    large a part is, so that the sentence beside it does.
    """
    if options.ask == "image":
        return PICTURED.format(box=" x ".join(f"{length:.6g}" for length in row.spec["box"]))
    text = row.texts.get(options.level) or next(iter(row.texts.values()), "")
    parts = {"text": [text or row.design], "design": [row.design or text], "both": [text, row.design]}[options.ask]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _images(row: CadRow, data: Path, options: CadOptions) -> tuple[str, ...]:
    if not options.image:
        return ()
    if not row.image:
        raise UserError(
            f"{data}: row {row.id} has no picture, which image=true asks for; build the dataset with images=true"
        )
    return (str((Path(data) / row.image).absolute()),)


def _task(row: CadRow, question: str, split: str, options: CadOptions, images: tuple[str, ...]) -> Task:
    if options.prompt_style == "compact":
        content = question + "\n"
    else:
        content = INSTRUCTION.format(question=question, form=THINK_FORM if options.think else PLAIN_FORM)
    return Task(
        DOMAIN_NAME,
        ({"role": "user", "content": content},),
        reference={"shape": dict(row.shape), "spec": dict(row.spec)},
        metadata={"split": split, "group": row.group, "family": row.family, "row": row.id},
        images=images,
    )
