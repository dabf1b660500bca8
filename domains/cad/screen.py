"""A look at a program before it runs, for clear messages: syntax, imports and names that no part needs.

This is no boundary: what keeps a program from doing harm is the sandbox. What the screen refuses would fail there too,
more slowly and with a worse message.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

ALLOWED_MODULES = (
    "__future__",
    "cadquery",
    "collections",
    "copy",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "numpy",
    "operator",
    "random",
    "re",
    "typing",
    # Imported by many published scripts whose exports are recorded, not written.
    "OCP",
    "ezdxf",
    "os",
    "sys",
    "pathlib",
    "time",
)
"""Top-level modules a program may import."""

_REFUSED_CALLS = frozenset(
    {"eval", "exec", "compile", "open", "__import__", "input", "breakpoint", "globals", "vars", "memoryview"}
)
_ALLOWED_DUNDERS = frozenset({"__name__", "__init__", "__main__", "__file__", "__post_init__", "__doc__"})
MAX_SOURCE = 100_000


@dataclass(frozen=True)
class Refusal:
    """Why a program is not run: failure code (`syntax`, `policy` or `import_denied`) and a message with the line."""

    code: str
    message: str


def screen(source: str) -> ast.Module | Refusal:
    """Return the syntax tree of a program, or why it is refused; never raises.

    Example:
        >>> screen("import socket")
        Refusal(code='import_denied', message="line 1: module 'socket' is not allowed")
    """
    if len(source) > MAX_SOURCE:
        return Refusal("policy", f"{len(source)} characters of code; at most {MAX_SOURCE} are run")
    try:
        with warnings.catch_warnings():
            # What Python thinks of a model's literals is nothing that a user of this package should read.
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(source)
    except SyntaxError as error:
        return Refusal("syntax", f"line {error.lineno or 1}: {error.msg}")
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Refusal("syntax", f"cannot be parsed: {type(error).__name__}")
    for node in ast.walk(tree):
        refusal = _judge(node)
        if refusal is not None:
            return Refusal(refusal.code, f"line {getattr(node, 'lineno', 1)}: {refusal.message}")
    return tree


def _judge(node: ast.AST) -> Refusal | None:
    if isinstance(node, ast.Import):
        return next((r for r in (_judge_module(alias.name) for alias in node.names) if r), None)
    if isinstance(node, ast.ImportFrom):
        return Refusal("import_denied", "a relative import") if node.level else _judge_module(node.module or "")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _REFUSED_CALLS:
        return Refusal("policy", f"{node.func.id}() is not allowed")
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if name.startswith("__") and name.endswith("__") and name not in _ALLOWED_DUNDERS:
        return Refusal("policy", f"the name {name} is not allowed")
    return None


def _judge_module(name: str) -> Refusal | None:
    top = name.split(".", 1)[0]
    return None if top in ALLOWED_MODULES else Refusal("import_denied", f"module {top!r} is not allowed")
