"""Scenario folders: built from a file of positions, checked, and laid over a recipe's options.

The embedded folder `standard` stands for "no scenario chosen": it leaves the recipe's own tumours and obstacles alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.scenario_file import Reading, Scenario, read_source
from sciRL.domain import BuildReport
from sciRL.errors import UserError

STANDARD = Path(__file__).parent / "data" / "standard"
MANIFEST, SCENARIO = "manifest.json", "scenario.json"
BUILDER_VERSION = 1
MOST = {"tumours": 3, "obstacles": 32}
"""Entries that `NanorobotOptions` allows."""


class BuildSettings(BaseModel):
    """Options of `scirl data build nanorobot`, given as key=value."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    box: float | None = Field(default=None, gt=0)
    """Edge of the cube in um; by default what the source says, else the recipe's."""

    overwrite: bool = False
    """Whether an existing scenario folder may be replaced."""


def parse_settings(options: Mapping[str, str]) -> BuildSettings:
    """Validate key=value options; a bad key or value raises `UserError` with what is allowed."""
    try:
        return BuildSettings.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(BuildSettings.model_fields)
            raise UserError(f"unknown build option {key!r}; allowed are {allowed}") from error
        raise UserError(f"build option {key}={first['input']!r}: {first['msg']}") from error


def build(source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
    """Turn a file of positions into a scenario folder, written aside and renamed when complete.

    Args:
        source: a CSV or JSON file (see `scenario_file`).
        out: the folder to make.
        options: fields of `BuildSettings` as text.

    Raises:
        UserError: unreadable source or option, no tumour, too many entries, a centre outside the box, or `out` exists.

    Example: a CSV with the lines `kind,x,y,z,radius`, `tumour,40,0,0,` and `obstacle,-60,0,0,20` gives a folder with
    one tumour and one obstacle.
    """
    settings = parse_settings(options)
    path, out = Path(source), Path(out)
    replaceable = settings.overwrite and (out / MANIFEST).is_file()
    if out.exists() and not replaceable and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} exists already; choose another folder, or overwrite=true to replace a scenario folder")
    reading = read_source(path)
    scenario = reading.scenario
    if None not in (settings.box, scenario.box) and settings.box != scenario.box:
        raise UserError(f"build option box={settings.box:g}, but {path} says {scenario.box:g}: give one of them")
    scenario.box = scenario.box if settings.box is None else settings.box
    _usable(path, reading)
    manifest = _manifest(path, reading)
    _write(out, scenario, manifest)
    kept = sum(map(len, scenario.parts().values()))
    dropped = dict(Counter(reason for _, reason in reading.dropped))
    examples = [f"{name[:-1]} {entries[0].values}" for name, entries in scenario.parts().items() if entries]
    return BuildReport(out, kept + len(reading.dropped), kept, dropped, {}, examples)


def _usable(path: Path, reading: Reading) -> None:
    scenario = reading.scenario
    if not scenario.tumours:
        reasons = "; ".join(f"{where}: {reason}" for where, reason in reading.dropped[:5])
        raise UserError(f"{path}: at least one tumour is needed; found none" + (f" ({reasons})" if reasons else ""))
    for name, entries in scenario.parts().items():
        if len(entries) > MOST[name]:
            raise UserError(f"{path}: {entries[MOST[name]].where}: at most {MOST[name]} {name} are allowed")
        for entry in entries:
            if scenario.box is not None and max(map(abs, entry.values[:3])) > scenario.box / 2:
                raise UserError(
                    f"{path}: {entry.where}: the {name[:-1]} at {entry.values[:3]} is outside the box of "
                    f"{scenario.box:g} um, which reaches from {-scenario.box / 2:g} to {scenario.box / 2:g}"
                )


def _manifest(path: Path, reading: Reading) -> dict[str, Any]:
    scenario = reading.scenario
    return {
        "domain": "nanorobot",
        "builder_version": BUILDER_VERSION,
        "source": {"name": path.name, "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}},
        "rows": {name: len(entries) for name, entries in scenario.parts().items()},
        "dropped": [{"where": where, "reason": reason} for where, reason in reading.dropped],
        "licence": "The licence of the source applies.",
        "files": {SCENARIO: hashlib.sha256(scenario.to_json().encode()).hexdigest()},
    }


def _write(out: Path, scenario: Scenario, manifest: Mapping[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.parent / f".{out.name}.{os.getpid()}.building"
    replaced = out.parent / f".{out.name}.{os.getpid()}.replaced"
    try:
        aside.mkdir()
        (aside / SCENARIO).write_text(scenario.to_json(), encoding="utf-8")
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if out.exists():
            os.replace(out, replaced)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def load_scenario(folder: Path) -> Scenario:
    """Return the scenario of a folder.

    Raises:
        UserError: the folder is no scenario folder, or its files cannot be read.
    """
    manifest = _read_manifest(folder)
    if manifest.get("domain") != "nanorobot":
        raise UserError(f"{folder}: a folder of domain nanorobot is needed; found {manifest.get('domain')!r}")
    path = folder / SCENARIO
    try:
        return Scenario.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a nanorobot scenario folder ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: a JSON object is needed; found {type(manifest).__name__}")
    return manifest


def check(folder: Path) -> list[str]:
    """Return the problems of a scenario folder, one line each; empty when it is sound.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    try:
        scenario = load_scenario(folder)
    except UserError as error:
        return [str(error)]
    problems = []
    expected = manifest.get("files", {}).get(SCENARIO)
    found = hashlib.sha256((folder / SCENARIO).read_bytes()).hexdigest()
    if found != expected:
        problems.append(f"{SCENARIO}: sha256 {found} is not the manifest's {expected}")
    for name, entries in scenario.parts().items():
        count = manifest.get("rows", {}).get(name)
        if len(entries) != count:
            problems.append(f"{SCENARIO}: {len(entries)} {name}, the manifest says {count}")
    try:
        _usable(folder / SCENARIO, Reading(scenario))
    except UserError as error:
        problems.append(str(error))
    return problems


def with_scenario(options: NanorobotOptions, folder: Path) -> NanorobotOptions:
    """Return the options with the tumours, obstacles and box of a scenario folder, validated as a whole.

    The embedded folder `standard` returns the options as they are.

    Raises:
        UserError: the recipe sets tumours, obstacles or another box as well, or the scenario does not fit the options;
            the message names the source file and the line.

    Example: a tumour of 15 um at (190, 0, 0) in a box of 400 um gives "my.csv: line 2: tumour_positions: (190.0, 0.0,
    0.0) with radius 15 um leaves the box of 400 um".
    """
    folder = Path(folder)
    if folder.resolve() == STANDARD.resolve():
        return options
    scenario = load_scenario(folder)
    _free_to_place(options, scenario, folder)
    source = str(_read_manifest(folder).get("source", {}).get("name", folder / SCENARIO))
    values = options.model_dump(exclude_unset=True)
    if scenario.box is not None:
        values["box"] = scenario.box
        _validated(values, f"{source}: box")
    chosen = options
    # One entry more at a time: the first that the model refuses is the one to name.
    for key, entries in (("tumour_positions", scenario.tumours), ("obstacles", scenario.obstacles)):
        taken: list[tuple[float, ...]] = []
        for entry in entries:
            taken.append(entry.values)
            chosen = _validated({**values, key: tuple(taken)}, f"{source}: {entry.where}")
        if taken:
            values[key] = tuple(taken)
    return chosen


def _free_to_place(options: NanorobotOptions, scenario: Scenario, folder: Path) -> None:
    for key in ("tumour_positions", "obstacles"):
        if key in options.model_fields_set:
            raise UserError(f"domain.{key} is set, but the scenario {folder} places everything: give one of them")
    if options.placement == "random":
        raise UserError(f"domain.placement=random ignores the tumours of the scenario {folder}: give one of them")
    if scenario.box is not None and "box" in options.model_fields_set and options.box != scenario.box:
        raise UserError(f"domain.box={options.box:g}, but the scenario {folder} has a box of {scenario.box:g} um")


def _validated(values: Mapping[str, Any], where: str) -> NanorobotOptions:
    try:
        return NanorobotOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1])
        text = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {key + ': ' if key else ''}{text}") from None
