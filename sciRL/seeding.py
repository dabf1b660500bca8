"""Seeds that depend on what is drawn and on nothing else, so that batches and processes do not change a draw."""

from __future__ import annotations

import hashlib
from typing import Any


def request_seed(*parts: Any) -> int:
    """Return a 64-bit seed that depends on nothing but the given parts."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
