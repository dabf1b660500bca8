"""The one message format between processes: a JSON header and blobs, all lengths checked, nothing unpickled.

Bytes: 4-byte big-endian length of the header, the header (UTF-8 JSON ``[content, [size of each blob]]``), the blobs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

_LENGTH = struct.Struct(">I")
MAX_HEADER_BYTES = 4 << 20

READY = b"+"
"""What a child writes before its frame, once its locks are closed and before it touches anything untrusted."""

ALONE, NOT_ALONE = b"<", b">"
"""What a meter writes before its frame when it begins and ends to handle nothing but the payload (see `blame`)."""


class FrameError(ValueError):
    """Bytes that are no frame."""


def encode(content: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """Return a frame.

    Raises:
        TypeError, ValueError: the content is not JSON (NaN and infinity are not).
    """
    header = json.dumps([content, [len(blob) for blob in blobs]], allow_nan=False).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *blobs])


def decode(data: bytes | bytearray, max_header_bytes: int = MAX_HEADER_BYTES) -> tuple[dict[str, Any], list[bytes]]:
    """Return the content and the blobs of a frame that fills `data` exactly.

    Raises:
        FrameError: anything else; the bytes may be hostile.
    """
    if len(data) < _LENGTH.size:
        raise FrameError(f"{len(data)} bytes are no frame")
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if end > min(len(data), _LENGTH.size + max_header_bytes):
        raise FrameError("the header is longer than allowed")
    try:
        header = json.loads(bytes(data[_LENGTH.size : end]), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FrameError("the header is no JSON") from error
    content, sizes = header if isinstance(header, list) and len(header) == 2 else (None, None)
    if not isinstance(content, dict) or not isinstance(sizes, list) or not all(_is_size(size) for size in sizes):
        raise FrameError("the header is not [object, [sizes]]")
    if end + sum(sizes) != len(data):
        raise FrameError("the sizes do not add up")
    blobs = []
    for size in sizes:
        blobs.append(bytes(data[end : end + size]))
        end += size
    return content, blobs


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
