"""The parts of an answer that fix a shape's size: numbers, and names of operations that make geometry.

CAD-RL (arXiv 2508.10118, eq. 8) lets the tokens of numeric parameters and geometry-affecting operations count more in
the loss. Its paper does not list the operations; this list is ours. Only the program counts, never the thinking, a
comment or a string: a policy could otherwise write numbers there for their weight alone.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from itertools import accumulate

from domains.cad.reading import read_code

_SOLIDS = "box sphere cylinder wedge extrude twistExtrude revolve sweep loft cutBlind cutThruAll hole cboreHole cskHole"
_SKETCHES = """circle ellipse ellipseArc rect polygon slot2D polyline spline bezier close offset2D moveTo move lineTo
line hLine hLineTo vLine vLineTo polarLine polarLineTo threePointArc sagittaArc radiusArc tangentArcPoint"""
_PLACES = "workplane center translate rotate rotateAboutCenter mirror mirrorX mirrorY pushPoints rarray polarArray"
_CHANGES = "cut union intersect fillet chamfer shell"
OPERATIONS = frozenset(" ".join((_SOLIDS, _SKETCHES, _PLACES, _CHANGES)).split())
"""Names that count where a method of that name is called."""

_STRING_PARTS = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_START", "FSTRING_END") if hasattr(tokenize, name)
)
"""From Python 3.12 on a formatted string comes in parts, with what it formats as tokens between them."""


def precise_spans(answer: str) -> list[tuple[int, int]]:
    """Return the (start, end) characters of every number and called operation in an answer's program, in order.

    Code that Python cannot tokenize counts up to where the tokenizer stops; an answer without a program has no spans.

    Example:
        >>> text = "<think>10 mm</think>\\n```python\\nresult = cq.Workplane().box(1.5, 20, 3)  # 4 sides\\n```"
        >>> [text[start:end] for start, end in precise_spans(text)]
        ['box', '1.5', '20', '3']
    """
    code = read_code(answer, bare=True).code
    if code is None:
        return []
    # The program is the last block of the text; bare code may have been given the line end that it lacks.
    offset = max(0, answer.rfind(code))
    lines = [0, *accumulate(len(line) for line in io.StringIO(code, newline="\n"))]
    spans = []
    for token in _numbers_and_calls(code):
        (row, start), (last, end) = token.start, token.end
        spans.append((offset + lines[row - 1] + start, offset + lines[last - 1] + end))
    return spans


def _numbers_and_calls(code: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the number tokens of a program, and the names in `.name(` that are operations."""
    before, name, depth = "", None, 0
    for token in _tokens(code):
        if token.type in _STRING_PARTS:
            depth += 1 if tokenize.tok_name[token.type].endswith("START") else -1
        elif depth == 0:
            if token.type == tokenize.NUMBER:
                yield token
            elif name is not None and token.string == "(":
                yield name
        name = token if token.type == tokenize.NAME and before == "." and token.string in OPERATIONS else None
        before = token.string


def _tokens(code: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens of a program up to the first that is none."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code, newline="\n").readline):
            if token.type == tokenize.ERRORTOKEN:
                return
            yield token
    except (tokenize.TokenError, SyntaxError, ValueError):
        return
