"""Energy above the hull: hand-made systems, input errors, and Materials Project's own values."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
from pathlib import Path

import pytest

from domains.crystal.chemistry import parse_formula
from domains.crystal.hull import Hull
from sciRL.errors import UserError


def test_mixture_below_above_and_lowest_entry() -> None:
    hull = Hull.from_rows([{"formula": "NaCl", "e_form": -2.0}, {"formula": "Na4Cl4", "e_form": -1.5}])
    assert hull.n_entries == 1
    assert hull.partial
    assert hull.e_hull({"Na": 1, "Cl": 1}, -1.9) == pytest.approx(0.1)
    assert hull.e_hull({"Na": 3, "Cl": 1}, -0.9) == pytest.approx(0.1)
    assert hull.e_hull({"Na": 1, "Cl": 1}, -2.1) == pytest.approx(-0.1)
    assert hull.e_hull({"Na": 2}, 0.3) == pytest.approx(0.3)
    assert pickle.loads(pickle.dumps(hull)).e_hull({"Na": 1, "Cl": 1}, -1.9) == pytest.approx(0.1)


def test_missing_element_is_an_error() -> None:
    with pytest.raises(UserError, match="no entry with Xe"):
        Hull.from_rows([{"formula": "NaCl", "e_form": -2.0}]).e_hull({"Xe": 1, "Na": 1}, 0.0)


def test_csv_errors_name_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "hull.csv"
    path.write_text("formula,energy\nNaCl,-2\n")
    with pytest.raises(UserError, match="e_form"):
        Hull.from_csv(path)
    path.write_text("formula,e_form\nNaCl,-2\nKCl,high\n")
    with pytest.raises(UserError, match=r"line 3.*'high'"):
        Hull.from_csv(path)
    with pytest.raises(UserError, match="not found"):
        Hull.from_csv(tmp_path / "none.csv")


def test_computed_entries(tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedEntry

    entries = [ComputedEntry("Na2", -2.6), ComputedEntry("Cl2", -3.6), ComputedEntry("NaCl", -7.1)]
    path = tmp_path / "entries.json.gz"
    with gzip.open(path, "wt") as stream:
        json.dump([entry.as_dict() for entry in entries], stream)
    hull = Hull.from_entries(path)
    assert not hull.partial
    assert hull.e_hull({"Na": 1, "Cl": 1}, -2.0) == pytest.approx(0.0)
    path.write_bytes(gzip.compress(json.dumps([entries[2].as_dict()]).encode()))
    with pytest.raises(UserError, match="elemental entry"):
        Hull.from_entries(path)


def test_partial_hull_never_lies_too_low_on_real_rows(shared_data: Path) -> None:
    path = shared_data / "crystal" / "mp_20_biternary" / "val.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    hull = Hull.from_csv(path, partial=True)
    with gzip.open(path, "rt") as stream:
        rows = [row for number, row in enumerate(csv.DictReader(stream)) if number % 24 == 0]
    close = 0
    for row in rows:
        counts = parse_formula(row["pretty_formula"])
        assert counts is not None
        gap = hull.e_hull(counts, float(row["formation_energy_per_atom"])) - float(row["e_above_hull"])
        assert gap <= 0.005, row["material_id"]
        close += abs(gap) <= 0.005
    assert close / len(rows) > 0.5
