"""Numbers of a program: its literals and the constants that follow from them, compared with the numbers of a spec."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
MAX_CONSTANTS = 20_000


def constants(tree: ast.Module) -> list[float]:
    """Return the magnitudes of all numeric literals and of the constants made of them by names and + - * /.

    Numbers in comments and strings are not part of the tree and so never count.

    Example:
        >>> sorted(constants(ast.parse("w = 40\\nbox(w / 2, 8)")))
        [2.0, 8.0, 20.0, 40.0]
    """
    names = _named(tree)
    found: dict[float, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            value = _fold(node, names)
            if value is not None:
                found.setdefault(abs(value))
                if len(found) >= MAX_CONSTANTS:
                    break
    return list(found)


def share_present(tree: ast.Module, numbers: Sequence[float], tolerance: float = 1e-6) -> float:
    """Return the share of `numbers` (millimetres) that stand in a program as literals or constants made of them.

    An empty list of numbers gives 1.
    """
    present = constants(tree)
    wanted = [abs(number) for number in numbers]
    if not wanted:
        return 1.0
    hits = sum(any(abs(value - number) <= tolerance * max(1.0, number) for value in present) for number in wanted)
    return hits / len(wanted)


def _named(tree: ast.Module) -> dict[str, float]:
    """Return the names that are assigned one constant, in the order of the text."""
    names: dict[str, float] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, assigned = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, assigned = statement.target, statement.value
        else:
            continue
        value = _fold(assigned, names)
        if isinstance(target, ast.Name) and value is not None:
            names[target.id] = value
    return names


def _fold(node: ast.expr, names: dict[str, float], depth: int = 0) -> float | None:
    """Return the value of a constant expression, or None; too deep an expression is not looked into."""
    if depth > 20:
        return None
    value: float | None = None
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        value = _as_float(node.value)
    elif isinstance(node, ast.Name):
        value = names.get(node.id)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _fold(node.operand, names, depth + 1)
        value = None if inner is None else -inner
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _fold(node.left, names, depth + 1), _fold(node.right, names, depth + 1)
        if left is not None and right is not None and not (isinstance(node.op, ast.Div) and right == 0):
            value = _BINARY[type(node.op)](left, right)
    return value if value is not None and math.isfinite(value) else None


def _as_float(number: int | float) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None
