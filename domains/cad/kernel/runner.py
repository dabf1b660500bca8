"""Runner: executes a model's CadQuery program and ships the shape it built. Nothing here is trusted.

It runs in the program's own locked process, which the program may change as it likes: the meter, in another process,
judges what arrives. Exports and displays are recorded instead of done, since published scripts end with them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import cadquery as cq
from cadquery import exporters
from OCP.TopAbs import TopAbs_SHELL, TopAbs_SOLID

from domains.cad.kernel.solids import brep_bytes, explore
from sciRL.verification.sandbox.failure import SCRIPT_FILENAME, ScriptFailure

RESULT_NAME = "result"
OTHER_NAMES = ("solid", "part", "r")
"""Names that hold the part when no `result` is assigned, in this order; anything but a part in them is ignored."""

_CadObject = cq.Workplane | cq.Shape | cq.Assembly | cq.Sketch
_EXPORTING_METHODS = {
    cq.Workplane: ("export", "exportSvg"),
    cq.Shape: ("export", "exportStl", "exportStep", "exportBrep", "exportBin"),
    cq.Assembly: ("export", "save"),
}


def run(source: str) -> bytes:
    """Execute a program and return the B-rep bytes of the part it built.

    The part is `result`; else the first that is one of `solid`, `part`, `r`, the last object given to `show_object`,
    the last one exported, and the last one assigned at the top level. A Workplane stands for all its objects, an
    Assembly for its compound. A program that ends with `sys.exit` has not given a part, even if it had built one.

    Raises:
        ScriptFailure: `syntax`, `exit`, `no_result`, or `not_a_shape` (a sketch, face, wire, number).
        Exception: whatever the program raises.

    Example: ``run("import cadquery as cq\\nresult = cq.Workplane().box(1, 2, 3)")`` is some 5 kB of binary B-rep.
    """
    try:
        tree = ast.parse(source, SCRIPT_FILENAME)
        code = compile(tree, SCRIPT_FILENAME, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ScriptFailure("syntax", f"line {line}: {getattr(error, 'msg', None) or type(error).__name__}") from None
    shown: list[Any] = []
    exported: list[Any] = []
    module = ModuleType("__main__")
    with _recording(module, shown, exported):
        try:
            exec(code, module.__dict__)
        except SystemExit as error:
            raise ScriptFailure("exit", f"the program ended itself with exit code {error.code!r}") from None
    return brep_bytes(_find_result(module.__dict__, _assigned_names(tree), shown, exported))


@contextmanager
def _recording(module: ModuleType, shown: list[Any], exported: list[Any]) -> Iterator[None]:
    """Run a program as the main module, with exports and displays that only remember what they were given."""

    def recorder(memory: list[Any]) -> Callable[..., None]:
        # Keyword arguments too: show_object(obj=...), export(w=...).
        def record(*objects: Any, **options: Any) -> None:
            memory.extend([*objects, *options.values()])

        return record

    module.__dict__.update(show_object=recorder(shown), debug=recorder([]))
    with ExitStack() as stack:
        # Classes of the program (dataclasses, enums) are looked up in the module that they name.
        stack.enter_context(patch.dict(sys.modules, {"__main__": module}))
        stack.enter_context(patch.object(exporters, "export", recorder(exported)))
        for owner, methods in _EXPORTING_METHODS.items():
            for method in methods:
                stack.enter_context(patch.object(owner, method, recorder(exported), create=True))
        yield


def _find_result(names: dict[str, Any], assigned: list[str], shown: list[Any], exported: list[Any]) -> Any:
    if RESULT_NAME in names:
        return _to_shape(names[RESULT_NAME], RESULT_NAME)
    candidates = [(name, names[name]) for name in OTHER_NAMES if name in names]
    candidates += [("the object shown", value) for value in reversed(shown)]
    candidates += [("the object exported", value) for value in reversed(exported)]
    candidates += [(name, names[name]) for name in reversed(assigned) if name in names]
    candidates = [(name, value) for name, value in candidates if isinstance(value, _CadObject)]
    if not candidates:
        raise ScriptFailure("no_result", f"nothing is assigned to {RESULT_NAME!r}, shown or exported")
    problem: ScriptFailure | None = None
    for name, value in candidates:
        try:
            return _to_shape(value, name)
        except ScriptFailure as failure:
            problem = problem or failure
    assert problem is not None
    raise problem


def _to_shape(value: Any, name: str) -> Any:
    """Return the kernel's shape of a result, or raise `not_a_shape`."""
    kind = type(value).__name__
    shapes: list[cq.Shape]
    if isinstance(value, cq.Assembly):
        shapes = [value.toCompound()]
    elif isinstance(value, cq.Workplane):
        shapes = [item for item in value.vals() if isinstance(item, cq.Shape)]
    elif isinstance(value, cq.Shape):
        shapes = [value]
    else:
        raise ScriptFailure("not_a_shape", f"{name} is a {kind}; a Workplane, Shape or Assembly with a solid is asked")
    if not any(_has_body(shape) for shape in shapes):
        found = ", ".join(sorted({shape.ShapeType() for shape in shapes})) or "no shape"
        raise ScriptFailure("not_a_shape", f"{name} is a {kind} that holds {found}; a solid is asked")
    return shapes[0].wrapped if len(shapes) == 1 else cq.Compound.makeCompound(shapes).wrapped


def _has_body(shape: cq.Shape) -> bool:
    """Whether a shape is, or is made of, solids or shells; the meter decides whether they are a part."""
    return any(explore(shape.wrapped, kind) for kind in (TopAbs_SOLID, TopAbs_SHELL))


def _assigned_names(tree: ast.Module) -> list[str]:
    """Return the names a program assigns at its top level, in the order of their last assignment."""
    names: dict[str, None] = {}
    pending: list[ast.AST] = list(reversed(tree.body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.pop(node.id, None)
            names[node.id] = None
        pending.extend(reversed(list(ast.iter_child_nodes(node))))
    return list(names)
