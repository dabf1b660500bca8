"""Dataset builder and checker on small generated files and on the first rows of real data sets."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.crystal.codec import WyText
from domains.crystal.dataset_check import check
from domains.crystal.datasets import build
from domains.crystal.rows import CrystalRow, load_rows
from domains.crystal.sources import number, open_source
from domains.crystal.substitution import Substitution, substitutes
from sciRL.dataset_folder import SPLITS
from sciRL.errors import UserError

ROCK_SALTS = {"NaCl": 5.64, "KCl": 6.29, "MgO": 4.21, "CaO": 4.81, "LiF": 4.03, "KBr": 6.60}


def rock_salt(formula: str, a: float) -> str:
    first, second = (formula[:2], formula[2:]) if formula[1].islower() else (formula[:1], formula[1:])
    return f"{first}4{second}4\nSG 225\nCELL {a:.3f}\n{first} 4a\n{second} 4b"


def rock_salt_cif(formula: str) -> str:
    return WyText().decode(rock_salt(formula, ROCK_SALTS[formula])).to_cif()


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def mp_rows() -> list[dict[str, str]]:
    return [
        {"material_id": f"mp-{i}", "formation_energy_per_atom": "-2.0", "e_above_hull": "", "cif": rock_salt_cif(name)}
        for i, name in enumerate(ROCK_SALTS)
    ]


def everything(folder: Path) -> list[CrystalRow]:
    return [row for split in SPLITS for row in load_rows(folder, split)]


def test_csv_rows_become_checked_canonical_rows(tmp_path: Path) -> None:
    report = build(str(write_csv(tmp_path / "mp.csv", mp_rows())), tmp_path / "out", {})
    assert (report.read, report.kept, report.dropped) == (6, 6, {})
    assert report.splits == {"train": 4, "validation": 1, "test": 1}
    assert check(tmp_path / "out") == []
    salt = next(row for row in everything(tmp_path / "out") if row.formula == "NaCl")
    assert (salt.id, salt.sg, salt.n_sites, salt.n_elements, salt.n_atoms) == ("mp-0", 225, 2, 2, 8)
    assert (salt.e_form, salt.e_hull, salt.band_gap, salt.template) == (-2.0, None, None, "225:a-b")


def test_broken_rows_are_dropped_counted_and_listed(tmp_path: Path) -> None:
    rows = mp_rows()
    rows[0]["cif"] = "not a cif"
    rows[1]["cif"] = ""
    rows[2]["cif"] = rows[3]["cif"]
    report = build(str(write_csv(tmp_path / "mp.csv", rows)), tmp_path / "out", {})
    assert report.dropped == {"structure unreadable": 1, "no structure": 1, "same text as another row": 1}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dropped"]["structure unreadable"]["ids"][0].startswith("mp-0: ")
    assert manifest["rows_read"] == 6
    assert sum(manifest["rows"].values()) == 3


def test_large_cells_are_dropped_with_their_size(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of the 6 rows can be used: cell over 7 atoms \(6\)"):
        build(str(write_csv(tmp_path / "mp.csv", mp_rows())), tmp_path / "out", {"max_atoms": "7"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "formula,structure\nNaCl,x\n", "no 'cif' column; the columns found are formula, structure"),
        ("a.csv", "material_id,cif\n", "a header but no rows"),
        ("a.csv.gz", "not gzip", "cannot be read"),
        ("a.poscar", "x", "unsupported file type; allowed are .csv"),
        ("a.json", "[", "line 1: not valid JSON"),
        ("a.json", '[{"material_id": "mp-1"}]', "document 1 has no 'structure'; found material_id"),
        ("a.jsonl", '{"text": 3}\n', "line 1: an object with a 'text'"),
        ("a.extxyz", "two\nlines\n", "frame 1"),
    ],
)
def test_unreadable_sources_say_what_was_found(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        build(str(tmp_path / name), tmp_path / "out", {})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_source_existing_output_and_bad_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        build(str(tmp_path / "nothing.csv"), tmp_path / "out", {})
    with pytest.raises(UserError, match=r"holds no \.cif and no \.csv"):
        build(str(tmp_path), tmp_path / "out", {})
    with pytest.raises(UserError, match="unknown build option 'sead'; allowed are seed, workers"):
        build("prototypes", tmp_path / "out", {"sead": "1"})
    with pytest.raises(UserError, match="build option seed='x'"):
        build("prototypes", tmp_path / "out", {"seed": "x"})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        build("prototypes", tmp_path / "full", {"overwrite": "true"})
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_formats_give_the_same_rows(tmp_path: Path) -> None:
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    crystals = {name: WyText().decode(rock_salt(name, a)) for name, a in ROCK_SALTS.items()}
    (tmp_path / "cifs").mkdir()
    for name, crystal in crystals.items():
        (tmp_path / "cifs" / f"{name}.cif").write_text(crystal.to_cif())
    structures = {name: crystal.to_structure() for name, crystal in crystals.items()}
    documents = [{"material_id": name, "structure": s.as_dict()} for name, s in structures.items()]
    with gzip.open(tmp_path / "mp.json.gz", "wt") as handle:
        json.dump({"data": documents}, handle)
    write(tmp_path / "all.extxyz", [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in structures.values()])
    lines = [json.dumps({"id": name, "text": rock_salt(name, a)}) for name, a in ROCK_SALTS.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    texts = {}
    for source in ("cifs", "mp.json.gz", "all.extxyz", "rows.jsonl"):
        build(str(tmp_path / source), tmp_path / f"{source}.out", {})
        texts[source] = {row.text for row in everything(tmp_path / f"{source}.out")}
    assert texts["cifs"] == texts["mp.json.gz"] == texts["all.extxyz"]
    # The symmetry finder may swap 4a and 4b, which is the same crystal: compare all but the letters.
    assert {text[: text.index("\n", text.index("CELL"))] for text in texts["cifs"]} == {
        text[: text.index("\n", text.index("CELL"))] for text in texts["rows.jsonl"]
    }


def test_folder_of_split_files_can_keep_its_own_split(tmp_path: Path) -> None:
    rows = mp_rows()
    (tmp_path / "mp_20").mkdir()
    for name, part in (("train", rows[:3]), ("val", rows[2:4]), ("test", rows[4:])):
        write_csv(
            tmp_path / "mp_20" / f"{name}.csv", [{**row, "material_id": f"{name}-{i}"} for i, row in enumerate(part)]
        )
    report = build(str(tmp_path / "mp_20"), tmp_path / "own", {"split": "source"})
    assert report.splits == {"train": 3, "validation": 1, "test": 2}
    assert report.dropped == {"same text as another row": 1}
    build(str(tmp_path / "mp_20"), tmp_path / "pooled", {})
    assert check(tmp_path / "pooled") == []
    with pytest.raises(UserError, match="split=source needs files called train, val and test"):
        build("prototypes", tmp_path / "none", {"split": "source", "limit": "5"})


def test_split_is_by_formula_and_repeats_with_the_seed(tmp_path: Path) -> None:
    options = {"substitute": "150", "seed": "3"}
    build("prototypes", tmp_path / "a", options)
    build("prototypes", tmp_path / "b", options)
    build("prototypes", tmp_path / "c", {**options, "seed": "4"})
    for split in SPLITS:
        assert (tmp_path / "a" / f"{split}.jsonl").read_bytes() == (tmp_path / "b" / f"{split}.jsonl").read_bytes()
    assert (tmp_path / "a" / "test.jsonl").read_bytes() != (tmp_path / "c" / "test.jsonl").read_bytes()
    formulas = [{row.formula for row in load_rows(tmp_path / "a", split)} for split in SPLITS]
    assert not formulas[0] & formulas[1]
    assert not formulas[0] & formulas[2]
    assert not formulas[1] & formulas[2]
    assert len(everything(tmp_path / "a")) == 393 + 150


def test_check_finds_tampering(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build("prototypes", out, {"limit": "40"})
    rows = list(load_rows(out, "train"))
    leaked = load_rows(out, "test")[0]
    changed = [*rows[1:], CrystalRow(**{**rows[0].__dict__, "sg": 1}), leaked]
    (out / "train.jsonl").write_text("".join(row.to_json() + "\n" for row in changed))
    problems = "\n".join(check(out))
    assert "train.jsonl: sha256" in problems
    assert f"row {rows[0].id}: sg is 1, the text says {rows[0].sg}" in problems
    assert "reduced formulas are in more than one split" in problems
    assert "row ids are used more than once" in problems
    (out / "train.jsonl").write_text("{}\n")
    assert "line 1: not a crystal row" in "\n".join(check(out))
    (out / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        check(out)


def test_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom domains.crystal.datasets import build\n"
        "if __name__ == '__main__':\n"
        "    print('ready', flush=True)\n"
        "    build('prototypes', Path(sys.argv[1]), {'substitute': '1000000'})\n"
    )
    (tmp_path / "run.py").write_text(script)
    repository = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(repository)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.py"]


def test_workers_give_the_rows_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domains.crystal.datasets.PARALLEL_FROM", 50)
    build("prototypes", tmp_path / "one", {"limit": "100", "workers": "1"})
    build("prototypes", tmp_path / "two", {"limit": "100", "workers": "2"})
    for split in SPLITS:
        assert (tmp_path / "one" / f"{split}.jsonl").read_bytes() == (tmp_path / "two" / f"{split}.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["mp_20_biternary/val.csv.gz", "perov_5/val.csv", "mpts_52/val.csv.gz"])
def test_real_sets_convert_without_loss(tmp_path: Path, shared_data: Path, name: str) -> None:
    report = build(str(shared_data / "crystal" / name), tmp_path / "out", {"limit": "60", "workers": "1"})
    assert report.kept == 60
    assert report.dropped == {}
    assert check(tmp_path / "out") == []
    assert all(row.e_form is not None for row in everything(tmp_path / "out"))


def test_mp20_columns_are_those_of_the_file(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "crystal" / "mp_20_biternary" / "val.csv.gz"
    build(str(path), tmp_path / "out", {"limit": "60", "workers": "1"})
    with gzip.open(path, "rt", newline="") as handle:
        expected = {row["material_id"]: row for row, _ in zip(csv.DictReader(handle), range(60), strict=False)}
    for row in everything(tmp_path / "out"):
        record = expected[row.id]
        assert row.formula == record["pretty_formula"]
        assert row.sg == int(record["spacegroup.number"])
        assert row.e_form == pytest.approx(float(record["formation_energy_per_atom"]), abs=1e-6)
        assert row.e_hull == pytest.approx(float(record["e_above_hull"]), abs=1e-6)


def test_formula_called_nan_is_kept(tmp_path: Path) -> None:
    rows = [{**row, "pretty_formula": "NaN"} for row in mp_rows()]
    rows[0]["cif"] = WyText().decode("Na4N4\nSG 225\nCELL 5.000\nNa 4a\nN 4b").to_cif()
    build(str(write_csv(tmp_path / "mp.csv", rows)), tmp_path / "out", {})
    assert "NaN" in {row.formula for row in everything(tmp_path / "out")}


@given(st.one_of(st.text(max_size=8), st.floats(allow_nan=True), st.none(), st.lists(st.integers())))
def test_number_is_finite_or_none(value: object) -> None:
    result = number(value)
    assert result is None or abs(result) < float("inf")


def test_substitution_repeats_by_index_and_keeps_the_symmetry() -> None:
    parents = [CrystalRow("salt", "NaCl", 225, rock_salt("NaCl", 5.64), "225:a-b", 2, 2, 8)]
    maker = Substitution(parents)
    made = {index: row for index in range(40) if (row := maker.make(index, seed=1)) is not None}
    assert len(made) > 10
    assert made[max(made)] == Substitution(parents).make(max(made), seed=1)
    for row in made.values():
        assert row.template == "225:a-b"
        assert row.formula != "NaCl"
        assert row.n_elements == 2


def test_substitutes_are_similar() -> None:
    names = {name for name, _ in substitutes("O")}
    assert "S" not in names  # the radius differs by 60 %
    assert {"K", "Rb"} <= {name for name, _ in substitutes("K")}
    assert dict(substitutes("Ti"))["Ti"] == 1.0
    assert all(0 < weight <= 1 for _, weight in substitutes("Fe"))


def test_open_source_prefers_a_real_path_called_prototypes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_source("prototypes").kind == "prototypes"
    (tmp_path / "prototypes").mkdir()
    (tmp_path / "prototypes" / "a.cif").write_text(rock_salt_cif("MgO"))
    assert open_source("prototypes").kind == "folder of cif"
