"""Text forms of crystals."""

from __future__ import annotations

from domains.crystal.codec.base import ERROR_CODES, Codec, CodecError
from domains.crystal.codec.symmetrize import crystal_from_structure, origin_variants
from domains.crystal.codec.wytext import WyText
from sciRL.errors import UserError

__all__ = [
    "ERROR_CODES",
    "Codec",
    "CodecError",
    "WyText",
    "crystal_from_structure",
    "get_codec",
    "origin_variants",
]


def get_codec(name: str) -> Codec:
    """Return a codec by name; an unknown name raises `UserError` with the names there are."""
    codecs = {codec.name: codec for codec in _all()}
    if name not in codecs:
        raise UserError(f"unknown codec {name!r}; known: {', '.join(sorted(codecs))}")
    return codecs[name]


def _all() -> list[Codec]:
    return [WyText(formula_line, cell_last) for formula_line in (True, False) for cell_last in (False, True)]
