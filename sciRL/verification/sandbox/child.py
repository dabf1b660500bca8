"""One forked process of a zygote: reads its input, locks itself in, does its work, writes its result, ends.

What it writes: `frames.READY` once the locks are closed, before any untrusted code or data is touched, a meter then its
marks (see `blame`), and last one frame. Bytes without READY say why the locks did not close. The content of the frame
is ``{"kind": ...}`` and

- from a script: "payload" (one blob), or "failure" with code and message; all of it untrusted;
- from a meter: "measurements" with the numbers (and blobs), "failure" as above, or "error" with a message.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from sciRL.verification.sandbox import blame, frames
from sciRL.verification.sandbox.failure import SCRIPT_FILENAME, ImportDeniedError, ScriptFailure
from sciRL.verification.sandbox.lock import Lock
from sciRL.verification.sandbox.namespaces import OPEN_FILES
from sciRL.verification.sandbox.outcome import MAX_MESSAGE

_CHUNK = 1 << 20


def run(work: Callable[[bytes], bytes], input_fd: int, output_fd: int, lock: Lock, user: int | None) -> NoReturn:
    """Be the child: never returns.

    Args:
        work: makes the frame out of the input.
        input_fd: a file with the input, read from its start.
        output_fd: the result pipe.
        lock: the layers to close.
        user: the user to become, None to stay.
    """
    try:
        data = _read(input_fd)
        _keep_only(output_fd, lock.rules)
        _forget_parent()
        lock.close(user)
    except BaseException as error:
        _write(output_fd, describe(error).encode())
        os._exit(1)
    try:
        _write(output_fd, frames.READY)
        blame.report_to(output_fd)
        _write(output_fd, work(data))
        os._exit(0)
    finally:
        os._exit(1)


def script_work(runner: Callable[[str], bytes], data: bytes) -> bytes:
    """Run a script; its source is the input's only blob."""
    source = frames.decode(data)[1][0].decode("utf-8", "surrogatepass")
    try:
        payload = runner(source)
        if not isinstance(payload, bytes):
            raise TypeError(f"the runner returned {type(payload).__name__} instead of bytes")
        return frames.encode({"kind": "payload"}, [payload])
    except BaseException as error:
        code, message = classify(error)
        return frames.encode({"kind": "failure", "code": code, "message": message[:MAX_MESSAGE]})


def meter_work(meter: Callable[..., tuple[dict, tuple[bytes, ...]]], data: bytes) -> bytes:
    """Measure a payload, the input's first blob, against the request and the other blobs."""
    request, (payload, *blobs) = frames.decode(data)
    try:
        measurements, answers = meter(payload, request, tuple(blobs))
        return frames.encode({"kind": "measurements", "measurements": measurements}, answers)
    except ScriptFailure as failure:
        return frames.encode({"kind": "failure", "code": failure.code, "message": failure.message[:MAX_MESSAGE]})
    except BaseException as error:
        return frames.encode({"kind": "error", "message": describe(error)[:MAX_MESSAGE]})


def classify(error: BaseException) -> tuple[str, str]:
    """Return the failure code and message of what a script raised.

    Example: ``import os`` where it is not allowed gives ("import_denied", "import of 'os' is not ... (line 1)").
    """
    if isinstance(error, ScriptFailure):
        return error.code, error.message
    if isinstance(error, ImportDeniedError):
        return "import_denied", f"{error}{_place(error)}"
    if isinstance(error, MemoryError):
        return "memory", f"MemoryError{_place(error)}"
    if isinstance(error, SystemExit):
        return "exit", f"the script ended itself: {describe(error)}{_place(error)}"
    if isinstance(error, SyntaxError) and error.filename == SCRIPT_FILENAME:
        return "syntax", f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    return "exec_error", f"{describe(error)}{_place(error)}"


def describe(error: BaseException) -> str:
    """Return an exception's type and message, even when its `__str__` is broken."""
    try:
        message = str(error)
    except BaseException:
        message = "(no message)"
    return f"{type(error).__name__}: {message[: 2 * MAX_MESSAGE]}"


def _place(error: BaseException) -> str:
    """Return the script's line that was being executed, as the end of a message."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SCRIPT_FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


def _read(descriptor: int) -> bytes:
    """Read a file whose position other processes may share."""
    size, parts, at = os.fstat(descriptor).st_size, [], 0
    while at < size:
        parts.append(os.pread(descriptor, min(_CHUNK, size - at), at))
        if not parts[-1]:
            raise EOFError("the input is shorter than its file")
        at += len(parts[-1])
    return b"".join(parts)


def _keep_only(*kept: int) -> None:
    """Turn the standard streams to /dev/null, which is the zygote's input, and close all else but `kept`."""
    for stream in (1, 2):
        os.dup2(0, stream)
    first = 3
    for descriptor in sorted(descriptor for descriptor in kept if descriptor >= 0):
        os.closerange(first, descriptor)
        first = max(first, descriptor + 1)
    os.closerange(first, OPEN_FILES)


def _forget_parent() -> None:
    """Leave the zygote's session and signal handlers; its environment holds nothing but settings of libraries."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
