"""Policies other than language models, on disk: kind and shape in `policy.json`, tensors in `policy.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciRL.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

DESCRIPTION, TENSORS = "policy.json", "policy.safetensors"


def write_policy(folder: Path, kind: str, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a policy's kind, the plain values of its shape, and its tensors (none is allowed)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(kept, str(folder / TENSORS))
    text = json.dumps({"kind": kind, **described}, indent=1)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def read_policy(folder: Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Return (kind, described, tensors) as `write_policy` was given them.

    Raises:
        UserError: the folder holds no policy.
    """
    from safetensors.torch import load_file

    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder} holds no policy ({DESCRIPTION} is missing)")
    described = json.loads(path.read_text(encoding="utf-8"))
    kind = described.pop("kind")
    return kind, described, load_file(str(folder / TENSORS))


def unknown_kind(folder: Path, kind: str, allowed: Mapping[str, Any]) -> UserError:
    """Return the error for a policy of a kind that this family does not know."""
    return UserError(f"{folder / DESCRIPTION}: unknown kind of policy {kind!r}; allowed: {', '.join(allowed)}")
