"""Files inside a report: a link that holds the whole file, as long as it is small."""

from __future__ import annotations

import base64
import re
from html import escape

from sciRL.errors import UserError

MIME_TYPES = {"glb": "model/gltf-binary", "step": "model/step", "stl": "model/stl", "svg": "image/svg+xml"}
"""Types of part files by ending, as registered with IANA."""

DEFAULT_LIMIT = 1_500_000
"""Bytes of a file that a report may hold."""


def download_link(name: str, content: bytes, mime: str, max_bytes: int = DEFAULT_LIMIT) -> str:
    """Return a link that saves `content` as `name`, or a note with its size when it is larger than `max_bytes`.

    Args:
        name: of the file, without a folder: "flange.step".
        content: of the file.
        mime: such as those of `MIME_TYPES`.
        max_bytes: of the content, before base64 adds a third.

    Raises:
        UserError: a name with a folder or control characters, or a type that is not of the form "type/subtype".

    Example:
        >>> download_link("a.stl", b"solid", "model/stl")
        '<a download="a.stl" href="data:model/stl;base64,c29saWQ=">a.stl</a> <small>1 kB</small>'
    """
    if not name or re.search(r"[/\\\x00-\x1f]", name) or name in (".", ".."):
        raise UserError(f"download: the name must be that of a file without a folder; found {name!r}")
    if not re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", mime):
        raise UserError(f"download: the type must be of the form type/subtype; found {mime!r}")
    size = f"<small>{-(-len(content) // 1000):,} kB</small>"
    if len(content) > max_bytes:
        return f"<span>{escape(name)}: too large for this page</span> {size}"
    data = base64.b64encode(content).decode("ascii")
    return f'<a download="{escape(name, quote=True)}" href="data:{mime};base64,{data}">{escape(name)}</a> {size}'
