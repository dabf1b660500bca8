"""Text forms of crystals."""

from __future__ import annotations

from domains.crystal.codec.base import ERROR_CODES, Codec, CodecError
from domains.crystal.codec.wytext import WyText

__all__ = ["ERROR_CODES", "Codec", "CodecError", "WyText", "get_codec"]


def get_codec(name: str) -> Codec:
    """Return a codec by name; an unknown name raises `UserError` with the names there are."""
    from sciRL.errors import UserError

    codecs = {codec.name: codec for codec in _all()}
    if name not in codecs:
        raise UserError(f"unknown codec {name!r}; known: {', '.join(sorted(codecs))}")
    return codecs[name]


def _all() -> list[Codec]:
    return [WyText(formula_line, cell_last) for formula_line in (True, False) for cell_last in (False, True)]
