"""The smallest sandbox profile: a script assigns `result`, its repr is the payload, the meter measures its length."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from sciRL.verification.sandbox.blame import payload_alone
from sciRL.verification.sandbox.failure import SCRIPT_FILENAME, ScriptFailure
from sciRL.verification.sandbox.profile import Limits, SandboxProfile


def run(source: str) -> bytes:
    """Execute a script and return what it assigned to `result`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, SCRIPT_FILENAME, "exec"), names)
    if "result" not in names:
        raise ScriptFailure("no_result", "the script assigns no `result`")
    return repr(names["result"]).encode()


def measure(
    payload: bytes, request: Mapping[str, Any], blobs: tuple[bytes, ...]
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """Return the payload's length and start; the request can make it misbehave as a faulty meter does.

    With "alone" it does so while it handles the payload alone.
    """
    with payload_alone() if request.get("alone") else nullcontext():
        answers = _misbehave(request)
    if answers is not None:
        return answers
    text = payload[:2000].decode(errors="replace")
    return {"length": len(payload), "text": text, "request": dict(request)}, tuple(blob[::-1] for blob in blobs)


def _misbehave(request: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[bytes, ...]] | None:
    match request.get("do"):
        case "refuse":
            raise ScriptFailure("invalid", "the payload is no good")
        case "raise":
            raise RuntimeError("the meter is broken")
        case "sleep":
            time.sleep(60)
        case "loop":
            while True:
                pass
        case "nan":
            return {"length": float("nan")}, ()
        case "big":
            return {}, (bytes(int(request["bytes"])),)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
    return None


TOY = SandboxProfile("toy", runner="toy_sandbox:run", meter="toy_sandbox:measure", modules=("math",))


def open_to_all(limits: Limits, modules: tuple[str, ...]) -> SandboxProfile:
    """Return the toy profile whose import guard lets a script have the modules that attacks are made of."""
    return SandboxProfile(
        "hostile", runner="toy_sandbox:run", meter="toy_sandbox:measure", modules=modules, limits=limits
    )
