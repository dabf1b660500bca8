"""Dataset builder, the embedded list, metrics and figures of molecules."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from sciRL.errors import UserError

pytest.importorskip("rdkit", reason="rdkit is not installed (pip install sciRL[gflownet])")

from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from domains.gflownet import datasets, figures, metrics
from domains.gflownet.sources import COMMON_FILE
from sciRL.dataset_folder import SPLITS, across_splits

DEFAULT = Path(datasets.__file__).parent / "data" / "common"
LINES = [
    "smiles name",
    "CCO ethanol",
    "OCC again",
    "c1ccccc1 benzene",
    "",
    "C(C broken",
    "CC.O two",
    "# note",
    "Cc1ccccc1",
]


def test_the_builder_counts_every_line(tmp_path: Path) -> None:
    source = tmp_path / "some.smi"
    source.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    report = datasets.build(str(source), tmp_path / "out", {})
    assert (report.read, report.kept) == (6, 3)
    assert report.dropped == {"duplicate": 1, "E_SMILES": 1, "E_COMPONENTS": 1}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dropped"]["duplicate"] == {"count": 1, "lines": ["line 3: OCC: the molecule of line 2"]}
    assert manifest["dropped"]["E_SMILES"]["lines"][0].startswith("line 6: C(C: rdkit")
    assert datasets.check(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.jsonl", "x.txt.gz"])
def test_all_kinds_of_files_give_the_same_molecules(tmp_path: Path, name: str) -> None:
    rows = [("a", "CCO"), ("b", "c1ccccc1"), ("c", "C1CC1"), ("d", "c1ccncc1C")]
    text = "".join(f"{smiles}\t{title}\n" for title, smiles in rows)
    if "csv" in name:
        text = "Name,SMILES\n" + "".join(f'"{title}","{smiles}"\n' for title, smiles in rows)
    elif "jsonl" in name:
        text = "".join(json.dumps({"name": title, "smiles": smiles}) + "\n" for title, smiles in rows)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    datasets.build(str(path), tmp_path / "out", {})
    made = [row for split in SPLITS for row in datasets.load_rows(tmp_path / "out", split)]
    assert sorted((row.name, row.smiles) for row in made) == sorted(
        (title, Chem.CanonSmiles(smiles)) for title, smiles in rows
    )


def test_scaffolds_are_never_split(tmp_path: Path) -> None:
    cores = [
        "c1ccccc1",
        "c1ccncc1",
        "C1CCCCC1",
        "c1ccoc1",
        "c1ccsc1",
        "C1CC1",
        "C1CCC1",
        "c1cnccn1",
        "C1CCNCC1",
        "c1cc[nH]c1",
    ]
    source = tmp_path / "many.smi"
    source.write_text("\n".join(f"{'C' * k}{core}" for core in cores for k in range(1, 7)), encoding="utf-8")
    for seed in range(4):
        out = tmp_path / str(seed)
        report = datasets.build(str(source), out, {"seed": str(seed)})
        parts = {split: datasets.load_rows(out, split) for split in SPLITS}
        assert report.splits == {"train": 48, "validation": 6, "test": 6}
        assert across_splits(parts, lambda row: row.scaffold) == []
        assert len({row.smiles for rows in parts.values() for row in rows}) == 60
    first, second = (datasets.load_rows(tmp_path / str(seed), "test") for seed in (0, 1))
    assert {row.scaffold for row in first} != {row.scaffold for row in second}


@pytest.mark.parametrize(
    ("content", "name", "options", "message"),
    [
        ("", "a.smi", {}, "empty"),
        ("a,b\n1,2\n", "a.csv", {}, "no column smiles"),
        ("smiles,b\nC,2\n", "a.csv", {"column": "canonical"}, "no column canonical; found smiles, b"),
        ("C(\n", "a.smi", {}, "none of the 1 rows"),
        ("C\n", "a.xlsx", {}, "unsupported file type"),
        ("C\n", "a.smi", {"colour": "x"}, "unknown build option 'colour'"),
        ("C\n", "a.smi", {"max_atoms": "0"}, "max_atoms"),
        ("{\n", "a.jsonl", {}, "line 1"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, content: str, name: str, options: dict[str, str], message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        datasets.build(str(tmp_path / name), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_folders_are_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("C\nCC\nCCC\n")
    datasets.build(str(tmp_path / "a.smi"), tmp_path / "out", {})
    with pytest.raises(UserError, match="overwrite=true"):
        datasets.build(str(tmp_path / "a.smi"), tmp_path / "out", {})
    assert datasets.build(str(tmp_path / "a.smi"), tmp_path / "out", {"overwrite": "true", "limit": "2"}).kept == 2


def test_check_finds_what_was_changed(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\nc1ccccc1\nC1CC1\nCCN\n")
    out = tmp_path / "out"
    datasets.build(str(tmp_path / "a.smi"), out, {})
    path = out / "train.jsonl"
    path.write_text(path.read_text().replace('"smiles":"CCO"', '"smiles":"OCC"').replace('"atoms":3', '"atoms":4'))
    problems = "\n".join(datasets.check(out))
    assert "sha256" in problems
    assert "'OCC' is not canonical: 'CCO'" in problems
    assert "atoms is 4, the SMILES has 3" in problems
    with pytest.raises(UserError, match=r"manifest\.json"):
        datasets.check(tmp_path)


def test_the_embedded_data_are_sound_and_their_formulas_right() -> None:
    assert datasets.check(DEFAULT) == []
    rows = [json.loads(line) for line in COMMON_FILE.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 119
    for row in rows:
        assert CalcMolFormula(Chem.MolFromSmiles(row["smiles"])) == row["formula"], row["name"]
    assert sum(len(datasets.load_rows(DEFAULT, split)) for split in SPLITS) == 119


def test_metrics_count_all_attempts() -> None:
    found = metrics.molecule_metrics(
        ["CCO", "OCC", "C(", "c1ccccc1"], [0.2, 0.2, 0.0, 0.8], {"CCO"}, top=1, threshold=0.1
    )
    assert found["attempts"] == 4
    assert (found["valid_share"], found["unique_share"], found["novel_share"]) == (0.75, 0.5, 0.25)
    assert found["reward_mean"] == pytest.approx(0.3)
    assert found["reward_median"] == pytest.approx(0.2)
    assert found["reward_top1"] == pytest.approx(0.8)
    # Two copies and one molecule without a bit in common: of three pairs one has distance 0.
    assert found["tanimoto_distance"] == pytest.approx(2 / 3)
    assert found["modes"] == 2


def test_distance_and_modes_by_hand() -> None:
    """Toluene and ethylbenzene share 6 of 13 bits (Morgan radius 2); benzene and water share none."""
    assert metrics.mean_distance(["O", "c1ccccc1"]) == 1.0
    assert metrics.mean_distance(["CCO", "CCO"]) == 0.0
    assert metrics.mean_distance(["CCO"]) == 0.0
    near = metrics.mean_distance(["Cc1ccccc1", "CCc1ccccc1"])
    assert 0.0 < near < 0.7
    names = ["Cc1ccccc1", "CCc1ccccc1", "O"]
    assert metrics.modes(names, [1.0, 0.9, 0.2], 0.5, 0.7) == ["Cc1ccccc1"]
    assert metrics.modes(names, [1.0, 0.9, 0.6], 0.5, near / 2) == names
    curve = metrics.mode_curve(["C(", *names], [0.0, 1.0, 0.9, 0.6], 0.5, near / 2, points=4)
    assert curve == [(1.0, 0.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0)]


def test_empty_samples_have_metrics_and_figures() -> None:
    found = metrics.molecule_metrics([], [])
    assert (found["attempts"], found["valid_share"], found["modes"]) == (0.0, 0.0, 0.0)
    for figure in (
        figures.molecule_figure(([], [])),
        figures.mode_figure({"a": ([], [])}, 0.5, 0.7),
        figures.top_k_figure({"a": ([], [])}),
        figures.reward_figure({"a": []}),
    ):
        assert figure.html


def test_figures_are_self_contained_and_say_what_they_show() -> None:
    texts, rewards = ["CCO", "c1ccccc1O", "C(", "c1ccncc1"] * 3, [0.2, 0.7, 0.0, 0.5] * 3
    made = [
        figures.law_figure({"tb <1>": [[0.5, 0.5], [0.0, 0.0]]}, [[0.25, 0.25], [0.25, 0.25]]),
        figures.reward_figure({"trained": rewards}),
        figures.mode_figure({"trained": (texts, rewards)}, 0.4, 0.5),
        figures.top_k_figure({"trained": (texts, rewards)}, ks=(1, 2, 3)),
        figures.molecule_figure((texts, rewards)),
    ]
    for figure in made:
        assert "<svg" in figure.html
        assert "http://www.w3.org" in figure.html or "http" not in figure.html
        assert "<?xml" not in figure.html
        assert "<script" not in figure.html
    assert "tb &lt;1&gt;: L1 = 1" in made[0].html
    assert made[-1].html.count("<figure") == 3
