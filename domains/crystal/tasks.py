"""Tasks and demonstrations: what is asked of a policy, and the answers of the dataset in the asked-for form."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from domains.crystal.answers import write_answer
from domains.crystal.codec import WyText
from domains.crystal.options import CrystalOptions
from domains.crystal.rows import CrystalRow, load_rows
from sciRL.domain import Demonstration
from sciRL.errors import UserError
from sciRL.task import Task

DOMAIN_NAME = "crystal"

KIND_CONDITIONS: dict[str, tuple[str, ...]] = {
    "unconditional": (),
    "sg": ("sg",),
    "composition": ("formula",),
    "elements": ("elements",),
    "e_form": ("e_form",),
    "e_hull": ("e_hull",),
}
"""What each named task kind fixes; `conditions` and `infill` are built from the options and the row."""

MASK = "<mask>"

FORMATS = {
    "wytext": (
        "Write the crystal as Wyckoff text, one item a line:\n"
        "{formula}SG and the space group number\n"
        "CELL and the free cell parameters of the conventional cell: lengths in Angstrom, then angles in degrees\n"
        "for each occupied Wyckoff position: element, multiplicity with letter, and its free fractional coordinates\n"
        "Example (half-Heusler TiNiSn):\n{example}"
    ),
    "explicit": (
        "Write the crystal as: atom counts of the conventional cell; 'Spacegroup:' and the symbol; 'abc:' and the "
        "three lengths in Angstrom; 'angles:' in degrees; 'Sites (n)'; then for each Wyckoff position the element, "
        "three fractional coordinates, and multiplicity with letter."
    ),
    "coords": "Write the crystal as the three cell lengths, the three angles, then element and fractional coordinates "
    "of every atom.",
    "cif": "Write the crystal as a CIF file.",
}

EXAMPLE = "Ti4Ni4Sn4\nSG 216\nCELL 5.930\nTi 4b\nNi 4c\nSn 4a"


@dataclass(frozen=True)
class Question:
    """The parts of one task before it is worded: its kind, what the answer must meet, and a masked text."""

    kind: str
    reference: dict[str, Any]
    masked: str = ""


def make_tasks(data: Path, split: str, options: CrystalOptions) -> list[Task]:
    """Return one task per row of a split, in the (shuffled, fixed) order of the file.

    Conditions take the values of the row, so that prompts are distributed as the data are. Rows that lack a value
    a task needs are left out.

    Raises:
        UserError: no row of a non-empty split has the needed values.

    Example (compact): a rock-salt row gives the prompt ``<el>2<sites>2SG 225`` and a newline, with the reference
    ``{"sg": 225, "n_elements": 2, "n_sites": 2}``.
    """
    return [task for task, _ in _tasks_with_rows(data, split, options)]


def make_demonstrations(data: Path, split: str, options: CrystalOptions, seed: int) -> list[Demonstration]:
    """Return the tasks of a split with their rows as answers; `seed` draws equivalent origins where asked for."""
    demonstrations = []
    codec = WyText()
    for task, row in _tasks_with_rows(data, split, options):
        text = row.text
        if options.augment_origin:
            keep_letters = isinstance(task.reference, dict) and "template" in task.reference
            text = _other_origin(codec, text, random.Random(f"{seed} {row.id}"), keep_letters)
        demonstrations.append(Demonstration(task, write_answer(text, options)))
    return demonstrations


def _tasks_with_rows(data: Path, split: str, options: CrystalOptions) -> list[tuple[Task, CrystalRow]]:
    rows = load_rows(data, split)
    pairs = []
    for index, row in enumerate(rows):
        question = make_question(row, options.kinds[index % len(options.kinds)], options)
        if question is None:
            continue
        metadata = {"split": split, "group": row.formula, "row": row.id, "kind": question.kind}
        prompt = ({"role": "user", "content": word(question, options, row.id)},)
        pairs.append((Task(DOMAIN_NAME, prompt, question.reference, metadata=metadata), row))
    if rows and not pairs:
        raise UserError(f"{data}: no row of split {split!r} has the values that kinds={','.join(options.kinds)} "
                        f"with conditions={','.join(options.conditions)} need (e_form?)")  # fmt: skip
    return pairs


def make_question(row: CrystalRow, kind: str, options: CrystalOptions) -> Question | None:
    """Return what a row is asked for, or None when it lacks a needed value."""
    if kind == "infill":
        return _infill(row)
    names = options.conditions if kind == "conditions" else KIND_CONDITIONS[kind]
    if "e_form" in names and row.e_form is None:
        return None
    values: dict[str, Any] = {
        "sg": row.sg,
        "n_elements": row.n_elements,
        "n_sites": row.n_sites,
        "formula": row.formula,
        "elements": sorted(row.elements),
        "template": row.template,
        "e_form": None if row.e_form is None else round(row.e_form, 2),
        "e_hull": options.e_hull_max,
    }
    reference: dict[str, Any] = {}
    for name in names:
        reference["e_hull_max" if name == "e_hull" else name] = values[name]
    if "e_form" in names:
        reference["e_form_tolerance"] = options.e_form_tolerance
    return Question(kind, reference)


def _infill(row: CrystalRow) -> Question:
    """Mask one element of the row; the answer is the whole crystal with that element put back."""
    masked = random.Random(f"infill {row.id}").choice(row.elements)
    lines = row.text.split("\n")[1:]
    text = "\n".join(re.sub(rf"^{masked} (?=\d+[a-zA]\b)", f"{MASK} ", line) for line in lines)
    return Question("infill", {"formula": row.formula, "sg": row.sg, "template": row.template}, text)


def word(question: Question, options: CrystalOptions, row_id: str) -> str:
    """Return the prompt text of a question in the style of the options."""
    if options.prompt_style == "compact":
        return compact_prompt(question)
    return chat_prompt(question, options, row_id)


def compact_prompt(question: Question) -> str:
    """Return the prompt in grammar tokens, in a fixed order, ending with a newline.

    The space group stands last and is the very token that begins an answer, so that copying it is easy to learn.
    """
    if question.masked:
        return f"<infill>{question.masked}\n"
    reference = question.reference
    parts = {
        "n_elements": lambda value: f"<el>{value}",
        "n_sites": lambda value: f"<sites>{value}",
        "formula": lambda value: f"<formula>{value}",
        "elements": lambda value: "<elements>" + "".join(value),
        "template": lambda value: f"<wyckoff>{value}",
        "e_form": lambda value: f"<eform>{value:.2f}",
        "e_hull_max": lambda value: f"<ehull>{value:.2f}",
    }
    written = "".join(write(reference[name]) for name, write in parts.items() if name in reference)
    return written + (f"SG {reference['sg']}\n" if "sg" in reference else "\n")


def compact_tokens(max_sites: int = 64) -> tuple[str, ...]:
    """Return the tokens of compact prompts beyond those of the codec."""
    names = ("<formula>", "<elements>", "<wyckoff>", "<eform>", "<ehull>", "<infill>", MASK)
    elements = tuple(f"<el>{number}" for number in range(1, 13))
    sites = tuple(f"<sites>{number}" for number in range(1, max_sites + 1))
    # Above `max_sites` a number is the longest known token and further digits.
    characters = tuple("0123456789abcdefghijklmnopqrstuvwxyzA:-.()\n")
    return names + elements + sites + characters


def chat_prompt(question: Question, options: CrystalOptions, row_id: str) -> str:
    """Return the prompt as an instruction; the order of its conditions is a shuffle fixed by the row."""
    lines = condition_sentences(question.reference) if not question.masked else []
    random.Random(f"order {row_id}").shuffle(lines)
    if question.masked:
        task = ("In the following crystal one element is hidden as <mask>. Name it by writing the whole crystal "
                f"again with the element in place.\n{question.masked}")  # fmt: skip
    elif lines:
        task = "Propose an inorganic crystalline material that meets these conditions:\n" + "\n".join(
            f"- {line}" for line in lines
        )
    else:
        task = "Propose an inorganic crystalline material."
    formula = "the atom counts of the conventional cell\n" if options.writes_formula else ""
    example = EXAMPLE if options.writes_formula else EXAMPLE.split("\n", 1)[1]
    if options.cell_last:
        rows = example.split("\n")
        cell = next(line for line in rows if line.startswith("CELL"))
        example = "\n".join([line for line in rows if line != cell] + [cell])
    form = FORMATS[options.codec].format(formula=formula, example=example)
    thinking = "You may reason first between <think> and </think>. " if options.think else ""
    return f"{task}\n\n{form}\n\n{thinking}Put only the crystal between <answer> and </answer>."


def condition_sentences(reference: dict[str, Any]) -> list[str]:
    """Return one plain sentence per condition of a reference."""
    sentences = {
        "sg": "the space group number is {}",
        "n_elements": "the number of different elements is {}",
        "n_sites": "the number of occupied Wyckoff positions is {}",
        "formula": "the reduced formula is {}",
        "elements": "it consists of the elements {}",
        "template": "space group and occupied Wyckoff letters, element by element, are {}",
        "e_form": "the formation energy is close to {} eV/atom",
        "e_hull_max": "the energy above the convex hull is at most {} eV/atom",
    }
    return [
        sentence.format(", ".join(value) if isinstance(value := reference[name], list) else value)
        for name, sentence in sentences.items()
        if name in reference
    ]


def _other_origin(codec: WyText, text: str, generator: random.Random, keep_letters: bool) -> str:
    """Return the text at one of its equivalent origins; with `keep_letters` only where the template stays."""
    variants = _origin_texts(text)
    if keep_letters:
        template = codec.decode(text).template
        variants = tuple(variant for variant in variants if codec.decode(variant).template == template)
    return generator.choice(variants)


@lru_cache(maxsize=50_000)
def _origin_texts(text: str) -> tuple[str, ...]:
    from domains.crystal.codec import origin_variants

    codec = WyText()
    return tuple(sorted({text, *(codec.canonical(variant) for variant in origin_variants(codec.decode(text)))}))
