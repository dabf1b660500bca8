"""What the kernel's tests share: a program run and measured in this process, as the sandbox does in two others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Measured = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Return `measured(program, *want, against=program | (kind, bytes), single=True, ...)`."""
    pytest.importorskip("cadquery")
    from domains.cad.kernel.meter import measure
    from domains.cad.kernel.runner import run

    def call(
        program: str,
        *want: str,
        against: str | tuple[str, bytes] | None = None,
        single: bool = True,
        budget_s: float = 5.0,
        seed: int = 1,
    ) -> dict[str, Any]:
        kind, content = ("brep", run(against)) if isinstance(against, str) else against or ("", b"")
        request = {
            "want": list(want or ("solid",)),
            "reference": {"kind": kind, "blob": 0} if against else None,
            "single": single,
            "seed": seed,
            "iou_budget_s": budget_s,
        }
        numbers, blobs = measure(run(program), request, (content,) if against else ())
        return numbers | {"files": dict(zip(numbers["blobs"], blobs, strict=True))}

    return call
