"""The answer text of a crystal task: written for demonstrations, read back for figures and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domains.crystal.codec import Codec, CodecError, WyText, get_codec
from domains.crystal.options import CrystalOptions
from domains.crystal.reading import Reader, Unreadable
from sciRL.verification.parsing import extract_answer

if TYPE_CHECKING:
    from domains.crystal.crystal import Crystal


def answer_codec(options: CrystalOptions) -> Codec:
    """Return the codec in which the options ask for answers."""
    if options.codec == "wytext":
        return WyText(formula_line=options.writes_formula, cell_last=options.cell_last)
    return get_codec(options.codec)


def requires_tags(options: CrystalOptions) -> bool:
    """Whether an answer must stand between answer tags: with chat prompts, where models explain themselves."""
    return options.prompt_style == "chat"


def write_answer(text: str, options: CrystalOptions) -> str:
    """Return the answer a policy should give for a dataset text (WyText with formula line).

    Example: ``Na4Cl4 / SG 225 / CELL 5.640 / Na 4a / Cl 4b`` becomes the same without its first line for compact
    prompts, and is put between answer tags for chat prompts.
    """
    if options.codec == "wytext":
        lines = text.split("\n")
        if not options.writes_formula:
            del lines[0]
        if options.cell_last:
            lines.append(lines.pop(next(i for i, line in enumerate(lines) if line.startswith("CELL"))))
        answer = "\n".join(lines)
    else:
        answer = answer_codec(options).encode(WyText().decode(text).to_structure())
    return f"<answer>\n{answer}\n</answer>" if requires_tags(options) else answer


def read_answer(answer: str, options: CrystalOptions) -> Crystal | None:
    """Return the crystal that an answer describes, or None when it describes none."""
    read = Reader(answer_codec(options), requires_tags(options)).read(answer)
    return None if isinstance(read, Unreadable) else read


def read_any(answer: str) -> Crystal | None:
    """Return the crystal of an answer in whatever form it is written (exports do not carry the options)."""
    body = extract_answer(answer, require_tags=False)
    if body is None:
        return None
    forms: list[Codec] = [WyText(formula, last) for formula in (False, True) for last in (False, True)]
    for codec in [*forms, *(get_codec(name) for name in ("explicit", "coords", "cif"))]:
        try:
            return codec.decode(body)
        except CodecError:
            continue
    return None
