"""Scenario folders: built from a file of positions, checked, and laid over a recipe's options.

The embedded folder `standard` stands for "no scenario chosen": it leaves the recipe's own tumours and obstacles alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.scenario_file import Reading, Scenario, read_source
from sciRL.dataset_folder import (
    file_problems,
    parse_build_settings,
    read_manifest,
    refuse_existing,
    sha256,
    write_folder,
)
from sciRL.domain import BuildReport
from sciRL.errors import UserError

STANDARD = Path(__file__).parent / "data" / "standard"
SCENARIO = "scenario.json"
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
    settings = parse_build_settings(BuildSettings, options)
    path, out = Path(source), Path(out)
    refuse_existing(out, settings.overwrite, "scenario")
    reading = read_source(path)
    scenario = reading.scenario
    if None not in (settings.box, scenario.box) and settings.box != scenario.box:
        raise UserError(f"build option box={settings.box:g}, but {path} says {scenario.box:g}: give one of them")
    scenario.box = scenario.box if settings.box is None else settings.box
    _usable(path, reading)
    write_folder(out, {SCENARIO: scenario.to_json()}, _manifest(path, reading))
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
        "source": {"name": path.name, "sha256": {path.name: sha256(path)}},
        "rows": {name: len(entries) for name, entries in scenario.parts().items()},
        "dropped": [{"where": where, "reason": reason} for where, reason in reading.dropped],
        "licence": "The licence of the source applies.",
    }


def load_scenario(folder: Path) -> Scenario:
    """Return the scenario of a folder.

    Raises:
        UserError: the folder is no scenario folder, or its files cannot be read.
    """
    read_manifest(folder, "nanorobot")
    path = folder / SCENARIO
    try:
        return Scenario.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def check(folder: Path) -> list[str]:
    """Return the problems of a scenario folder, one line each; empty when it is sound.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "nanorobot")
    try:
        scenario = load_scenario(folder)
    except UserError as error:
        return [str(error)]
    problems = file_problems(folder, manifest)
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
    source = str(read_manifest(folder, "nanorobot").get("source", {}).get("name", folder / SCENARIO))
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
