"""Configuration: every kind of mistake is one line that names file, line, key, value and what is allowed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sciRL.config import dump_config, load_config, validate_config
from sciRL.errors import UserError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Adam(Strict):
    kind: Literal["adam"] = "adam"
    lr: float = Field(1e-4, gt=0)


class Sgd(Strict):
    kind: Literal["sgd"] = "sgd"
    momentum: float = 0.9


class Stage(Strict):
    steps: int = 3
    name: str = "a"


class Recipe(Strict):
    optimizer: Annotated[Adam | Sgd, Field(discriminator="kind")] = Adam()
    mode: Literal["fast", "exact"] = "fast"
    stages: list[Stage] = []
    named: dict[str, Stage] = {}
    weights: dict[str, float] = {}
    folder: Path | None = None
    enabled: bool = False
    text: str = ""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.enabled and self.folder is None:
            raise ValueError(f"enabled needs a folder{self.text and ' for ' + self.text}")
        return self


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(Recipe, path, overrides)


def test_overrides_go_over_recipe_over_defaults(tmp_path: Path) -> None:
    config = load(
        tmp_path, "optimizer: {kind: adam, lr: 1e-3}\nmode: exact\n", "optimizer.lr=3e-5", "stages=[{steps: 7}]"
    )
    assert config.optimizer == Adam(lr=3e-5)
    assert config.mode == "exact"
    assert config.stages == [Stage(steps=7)]


def test_extends_replaces_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("optimizer: {kind: sgd, momentum: 0.5}\nnamed: {a: {steps: 1, name: x}}\n")
    config = load(tmp_path, "extends: base.yaml\nnamed: {a: {steps: 2}}\n")
    assert config.optimizer == Sgd(momentum=0.5)
    assert config.named == {"a": Stage(steps=2, name="x")}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("modee: fast\n", [], "tiny.yaml line 1: unknown key 'modee' (did you mean 'mode'?); allowed: enabled, folder"),
        (
            "mode: fast\noptimizer:\n  kind: adam\n  rate: 1\n",
            [],
            "tiny.yaml line 4: unknown key 'optimizer.rate'; allowed: kind, lr",
        ),
        ("named:\n  a: {step: 1}\n", [], "line 2: unknown key 'named.a.step' (did you mean 'steps'?); allowed: name"),
        ("stages:\n- steps: 4\n- steps: 4.5\n", [], "line 3: stages.1.steps = 4.5: must be a whole number"),
        ("optimizer:\n  kind: adam\n  lr: fast\n", [], "line 3: optimizer.lr = 'fast': must be a number"),
        ("optimizer: {kind: adam, lr: true}\n", [], "optimizer.lr = True: must be a number"),
        ("optimizer: {kind: adam, lr: '3'}\n", [], "optimizer.lr = '3': must be a number"),
        ("optimizer: {kind: adam, lr: -1}\n", [], "optimizer.lr = -1: must be greater than 0"),
        ("optimizer: 3\n", [], "line 1: optimizer = 3"),
        ("optimizer: {kind: lion}\n", [], "line 1: optimizer.kind = 'lion': must be one of 'adam', 'sgd'"),
        ("mode: fast\n", ["optimizer.lr=1"], "key 'optimizer.kind' is missing; allowed: adam, sgd"),
        ("stages: 3\n", [], "stages = 3: must be a list"),
        ("mode: slow\n", [], "mode = 'slow': must be 'fast' or 'exact'"),
        ("enabled: on\n", [], "enabled = 'on': must be true or false"),
        ("text: 3\n", [], "text = 3: must be text"),
        ("enabled: true\n", [], "enabled needs a folder"),
        ("mode: fast\nmode: exact\n", [], "tiny.yaml line 2: key 'mode' is given twice (first in tiny.yaml line 1)"),
        ("optimizer:\n  lr: 1.0\n  lr: 2.0\n", [], "line 3: key 'optimizer.lr' is given twice"),
        ("", [], "is empty"),
        ("- a\n", [], "must hold 'key: value' lines; found ['a']"),
        ("a: [\n", [], "is not valid YAML"),
        ("a: &x\n  b: *x\n", [], "anchor that contains itself"),
        ("extends: 3\n", [], "tiny.yaml line 1: 'extends' must be a file name; found 3"),
        ("extends: tiny.yaml\n", [], "leads back to itself"),
        ("extends: none.yaml\n", [], "none.yaml does not exist; in"),
        ("mode: fast\n", ["optimizer.lr"], "override 'optimizer.lr' must look like section.key=value"),
        ("mode: fast\n", ["optimizer..lr=1"], "must look like section.key=value"),
        ("mode: fast\n", ["mode.deep=1"], "override 'mode.deep=1': 'mode' is 'fast', not a section"),
        ("mode: fast\n", ["mode=["], "the value is not valid YAML"),
        ("mode: fast\n", ["optimizer={lr: 1, lr: 2}"], "key 'lr' is given twice"),
        ("mode: fast\n", ["text=!!timestamp 2001-01-01"], "the value is not valid YAML: could not determine"),
        ("text: !!binary aGk=\n", [], "is not valid YAML: could not determine a constructor"),
        ("mode: fast\n", ["mode=!!set {a}"], "override 'mode=!!set {a}': the value is not valid YAML"),
        ("optimizer: {kind: adam}\n", ["optimizer.lr=.nan"], "optimizer.lr = '.nan': must be a number"),
        ("mode: fast\n", ["stages=!!int x"], "override 'stages=!!int x': the value is not valid YAML"),
        ("mode: fast\n", ["stages=" + "[" * 40 + "]" * 40], "nested deeper than 32 levels"),
        ("mode: fast\n", ["stages=" + "[" * 9000 + "]" * 9000], "nested deeper than 32 levels"),
        ("mode: fast\n", ["stages=&x [*x]"], "an anchor that contains itself"),
        ("mode: fast\n", ["k." * 40 + "k=1"], "a key has at most 32 parts; found 41"),
        (
            "optimizer: {kind: adam}\n",
            ["optimizer.lr=0"],
            "override 'optimizer.lr=0': optimizer.lr = 0: must be greater than 0",
        ),
    ],
)
def test_every_mistake_is_one_clear_line(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *overrides)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    began = time.process_time()
    with pytest.raises(UserError, match="more than 100000 values"):
        load(tmp_path, "\n".join(levels) + "\n")
    assert time.process_time() - began < 5.0


def test_a_long_value_is_shown_without_its_middle(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, f"mode: {'x' * 5000}\n")
    assert f"mode = '{'x' * 99} ... {'x' * 99}': must be 'fast' or 'exact'" in str(caught.value)
    with pytest.raises(UserError) as caught:
        load(tmp_path, f"{{enabled: true, text: {'x' * 5000}}}\n")
    assert str(caught.value).endswith(f"enabled needs a folder for {'x' * 100} ... {'x' * 100}")


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, "mode: slow\nunknown: 1\n", "optimizer={kind: adam, lr: -1}")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "override 'optimizer={kind",
        "tiny.yaml line 1",
        "tiny.yaml line 2",
    ]


def test_missing_recipe_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text("mode: fast\n")
    with pytest.raises(UserError, match=r"tinny\.yaml does not exist; in .* there are: full\.yaml"):
        load_config(Recipe, tmp_path / "tinny.yaml")


def test_section_prefix_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown key 'domain\.stepz'"):
        validate_config(Stage, {"stepz": 1}, prefix="domain")


def test_element_symbols_are_text_and_exponents_are_numbers(tmp_path: Path) -> None:
    config = load(tmp_path, "text: No\nweights: {Y: 1e-5, on: 2}\n")
    assert config.text == "No"
    assert config.weights == {"Y": 1e-5, "on": 2.0}


scalars: Any = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))), st.sampled_from(["No", "1e-5", "0x1", "~"])
)


@given(
    st.builds(
        Recipe,
        optimizer=st.builds(Adam, lr=st.floats(1e-300, 1e300)),
        weights=st.dictionaries(scalars.filter(bool), st.floats(allow_nan=False)),
        text=scalars,
        named=st.dictionaries(scalars, st.builds(Stage, steps=st.integers(), name=scalars)),
    )
)
def test_a_dumped_configuration_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, config: Recipe) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(Recipe, path) == config
