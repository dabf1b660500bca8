"""What a reader relies on: versions, commands, pins, links, and pages that run as they are printed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import sciRL

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "data").glob("*.md")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Homes of machines: a path or an address that works on one computer only.
MACHINE = re.compile(r"(?<![\w.}])/(?:work|home|root|opt|Users|mnt)/\w|(?:--|extra-)index-url|find-links|file://")
OWN = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def run_python(code: str, folder: Path, *paths: Path) -> str:
    search = os.pathsep.join([*map(str, paths), str(ROOT)])
    environment = {**os.environ, **OWN, "PYTHONPATH": search}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked is unknown")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["version"] == sciRL.__version__
    assert f"## {sciRL.__version__}" in read("CHANGELOG.md")


def test_commands_of_the_pages_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test", "install", "docs", "notebooks", "bench"} <= named
    assert named <= targets, named - targets


def test_verbs_of_the_pages_exist() -> None:
    from sciRL.cli.main import VERBS

    found = {verb for page in PAGES for verb in re.findall(r"^\s*scirl ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert found <= set(VERBS), found - set(VERBS)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bench.lock"])
def test_lock_pins_every_package_exactly(name: str) -> None:
    lines = [line for line in read(name).splitlines() if line and not line.startswith(("#", "-r requirements"))]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line)] == []


def test_lock_covers_the_dependencies() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in read("requirements.lock").splitlines()}
    wanted = [*project["dependencies"], *extras["crystal"], *extras["dev"], *extras["notebooks"]]
    names = {re.split(r"[<>=\[ ]", text)[0].lower().replace("_", "-") for text in wanted}
    assert names <= pinned, names - pinned
    assert "torch==2.13.0" in read("requirements.lock").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_tracked_files_name_no_machine() -> None:
    found = []
    for path in tracked_files():
        if path == Path(__file__).resolve():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MACHINE.finditer(text)]
    assert found == []


def test_import_is_light_and_fast(tmp_path: Path) -> None:
    code = (
        "import time; start = time.perf_counter(); import sciRL, domains.crystal, sciRL.cli.main\n"
        "import sys; print(time.perf_counter() - start, *[m for m in ('torch', 'transformers', 'pymatgen') "
        "if m in sys.modules])"
    )
    seconds, *heavy = run_python(code, tmp_path).split()
    assert heavy == []
    # The best of three: a busy machine says nothing about the package.
    best = min(float(seconds), *(float(run_python(code, tmp_path).split()[0]) for _ in range(2)))
    assert best < 1.5


def test_configuration_page_is_up_to_date() -> None:
    script = load_script(ROOT / "docs" / "make_configuration.py")
    assert script.page() == read("docs/configuration.md"), "run `make docs`"


def test_every_key_of_the_configuration_page_has_a_sentence() -> None:
    script = load_script(ROOT / "docs" / "make_configuration.py")
    keys = [row for prefix, model, _ in script.SECTIONS for row in script.rows(model, prefix)]
    assert len(keys) > 100
    assert [key for key, _, _, sentence in keys if len(sentence.split()) < 2 or not sentence.endswith(".")] == []


@pytest.mark.parametrize("name", ["verifiers.md", "api.md", "conversations.md"])
def test_python_of_the_page_runs(name: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", read(f"docs/{name}"), re.MULTILINE | re.DOTALL)
    assert blocks
    run_python("\n".join(blocks), tmp_path)


def own_domain(folder: Path) -> None:
    page = read("docs/own-domain.md")
    files = re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        "make_sites.py",
        "palindromes/__init__.py",
        "palindromes/recipes/tiny.yaml",
        "pyproject.toml",
        "run.py",
    ]
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_own_domain_of_the_page_trains(tmp_path: Path) -> None:
    own_domain(tmp_path)
    steps = '["evaluation.samples=8", "stages.sft.steps=2", "stages.grpo.steps=1", "logging.trackers=[]"]'
    code = (tmp_path / "run.py").read_text().replace("None, [],", f"None, {steps},")
    assert steps in code
    run_python(code, tmp_path, tmp_path)
    arms = json.loads((tmp_path / "runs/palindromes/results/arms.json").read_text())
    assert [arm["name"] for arm in arms] == ["untrained", "sft", "grpo", "continued", "shuffled"]
    assert (tmp_path / "runs/palindromes/report.html").is_file()
    assert sum(json.loads((tmp_path / "palindromes/data/manifest.json").read_text())["splits"].values()) == 336


def test_own_domain_of_the_page_judges(tmp_path: Path) -> None:
    own_domain(tmp_path)
    code = (
        "from palindromes import DOMAIN, ask\n"
        "answers = ['GAATTC', 'GAATTA', 'GAAAAG', 'GACGTC', 'GAATTCC', '', 'GAA=', 'G' * 10**6]\n"
        "scores = DOMAIN.rubric(None, DOMAIN.Options()).verify([(ask('GAA'), answer) for answer in answers])\n"
        "print(*[score.value for score in scores])"
    )
    values = [float(text) for text in run_python(code, tmp_path, tmp_path).split()]
    # 1 for the form and 3 for the share that pairs; GACGTC begins with another half, and is judged no further.
    assert values == pytest.approx([1.0, (1 + 3 * 4 / 6) / 4, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_executed_and_without_errors(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert [output for output in outputs if output["output_type"] == "error"] == []
