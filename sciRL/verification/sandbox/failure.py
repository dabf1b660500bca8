"""How a script may fail: the codes, and the exceptions by which a runner or a meter names them."""

from __future__ import annotations

SCRIPT_FILENAME = "<script>"
"""The file name under which a runner must compile a script: tracebacks and the import guard find its lines by it."""

SCRIPT_CODES = frozenset(
    {
        "syntax",
        "import_denied",
        "exec_error",
        "timeout",
        "memory",
        "crash",
        "exit",
        "no_result",
        "not_a_shape",
        "not_solid",
        "invalid",
        "multi_solid",
        "too_big",
    }
)

MEASURED_CODES = frozenset({"not_solid", "invalid", "multi_solid"})
"""Those that only a measurement can find: a script that reports one of itself has forged it."""


class ScriptFailure(Exception):  # noqa: N818 - a failure of the script, not an error of the program
    """The script is at fault: `code` is one of `SCRIPT_CODES`, `message` says what was found.

    Raises:
        ValueError: the code is none of `SCRIPT_CODES`.
    """

    def __init__(self, code: str, message: str) -> None:
        if code not in SCRIPT_CODES:
            raise ValueError(f"{code!r} is no failure code of a script; allowed: {', '.join(sorted(SCRIPT_CODES))}")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ImportDeniedError(ImportError):
    """A script imported a module that its profile does not allow."""
