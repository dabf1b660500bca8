"""The import guard: a clear message for a script that imports what its profile does not allow; no boundary.

Only imports written in the script itself are looked at: what an allowed library imports is its own business.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sciRL.verification.sandbox.failure import SCRIPT_FILENAME, ImportDeniedError


def guard_imports(allowed: frozenset[str]) -> None:
    """Let code compiled as `SCRIPT_FILENAME` import only these top-level modules, in this process.

    Example: with {"math"} allowed, ``import math`` works and ``import os.path`` raises ``ImportDeniedError``: import of
    'os' is not allowed; allowed: math.
    """
    builtins.__import__ = _guarded(builtins.__import__, allowed)


def _guarded(original: Callable[..., Any], allowed: frozenset[str]) -> Callable[..., Any]:
    def guarded(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if sys._getframe(1).f_code.co_filename == SCRIPT_FILENAME and name.partition(".")[0] not in allowed:
            known = ", ".join(sorted(allowed)) or "nothing"
            raise ImportDeniedError(f"import of {name.partition('.')[0]!r} is not allowed; allowed: {known}")
        return original(name, globals, locals, fromlist, level)

    return guarded
