"""Tables that ship with the domain: Wyckoff positions, textbook prototypes, elemental reference energies.

`wyckoff_table.json` holds one representative per Wyckoff position of the 230 space groups (facts of the International
Tables A; unique axis b, hexagonal axes for rhombohedral groups, origin choice 2; `hall` is spglib's number of that
setting). `prototypes.jsonl` holds 393 textbook structures as WyText. `chgnet_elemental_reference.json` holds
elemental energies in eV/atom, fitted so that CHGNet energies become formation energies.
"""

from __future__ import annotations

from importlib.resources import files


def read_table(name: str) -> str:
    """Return the text of a shipped table, for example `read_table("wyckoff_table.json")`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
