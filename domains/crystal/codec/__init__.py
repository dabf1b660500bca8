"""Text forms of crystals."""

from __future__ import annotations

from domains.crystal.codec.base import ERROR_CODES, Codec, CodecError
from domains.crystal.codec.cif import Cif
from domains.crystal.codec.coords import Coordinates
from domains.crystal.codec.explicit import ExplicitWyckoff
from domains.crystal.codec.symmetrize import crystal_from_structure, origin_variants
from domains.crystal.codec.wytext import WyText
from sciRL.errors import UserError

__all__ = [
    "ERROR_CODES",
    "Cif",
    "Codec",
    "CodecError",
    "Coordinates",
    "ExplicitWyckoff",
    "WyText",
    "crystal_from_structure",
    "get_codec",
    "origin_variants",
]


def get_codec(name: str) -> Codec:
    """Return a codec by name; an unknown name raises `UserError` with the names there are."""
    variants = [WyText(formula_line, cell_last) for formula_line in (True, False) for cell_last in (False, True)]
    others: list[Codec] = [ExplicitWyckoff(), Coordinates(), Cif()]
    codecs: dict[str, Codec] = {codec.name: codec for codec in [*variants, *others]}
    if name not in codecs:
        raise UserError(f"unknown codec {name!r}; known: {', '.join(codecs)}")
    return codecs[name]
