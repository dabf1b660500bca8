"""Write docs/configuration.md: its guide from here, and every key, default and sentence from the settings classes.

python docs/make_configuration.py
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from domains.crystal.options import CrystalOptions
from domains.gflownet.options import GFlowNetOptions
from domains.nanorobot.options import NanorobotOptions
from sciRL.algorithms.actor_critic import PPOConfig
from sciRL.algorithms.dqn import DQNConfig
from sciRL.algorithms.flow_ppo import FlowPPOConfig
from sciRL.algorithms.gflownet import GFlowNetConfig
from sciRL.algorithms.outcome_gflownet import OutcomeFinetuningConfig, OutcomePretrainingConfig
from sciRL.algorithms.policy_optimization import PolicyOptimizationConfig
from sciRL.algorithms.preference import PreferenceConfig
from sciRL.algorithms.q_learning import QLearningConfig
from sciRL.algorithms.scripted import ScriptedConfig
from sciRL.algorithms.setting import SamplingConfig
from sciRL.algorithms.supervised import SupervisedConfig
from sciRL.families.control import ControlSections
from sciRL.families.language import LanguageSections
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.run.settings import RunConfig

PAGE = Path(__file__).with_name("configuration.md")
GUIDE = Path(__file__).with_name("configuration-guide.md")
SECTIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("", RunConfig, "The top of a recipe"),
    ("", LanguageSections, "Sections of language models (crystal)"),
    ("", ControlSections, "Sections of control and flow domains (nanorobot, gflownet)"),
    ("stages.NAME.train.", SupervisedConfig, "`train` with `algorithm: supervised`"),
    ("stages.NAME.train.", PolicyOptimizationConfig, "`train` with `algorithm: policy_optimization`"),
    ("stages.NAME.train.", PreferenceConfig, "`train` with `algorithm: preference`"),
    ("", OptimizerConfig, "optimizer"),
    ("", SamplingConfig, "sampling"),
    ("stages.NAME.train.", ScriptedConfig, "`train` with `algorithm: scripted` (control)"),
    ("stages.NAME.train.", QLearningConfig, "`train` with `algorithm: q_learning` (control)"),
    ("stages.NAME.train.", DQNConfig, "`train` with `algorithm: dqn` (control)"),
    ("stages.NAME.train.", PPOConfig, "`train` with `algorithm: ppo` (control)"),
    ("stages.NAME.train.", GFlowNetConfig, "`train` with `algorithm: gflownet` (flow)"),
    ("stages.NAME.train.", FlowPPOConfig, "`train` with `algorithm: ppo` (flow)"),
    ("stages.NAME.train.", OutcomePretrainingConfig, "`train` with `algorithm: outcome_pretraining` (flow)"),
    ("stages.NAME.train.", OutcomeFinetuningConfig, "`train` with `algorithm: outcome_finetuning` (flow)"),
    ("domain.", CrystalOptions, "`domain` of the crystal domain"),
    ("domain.", NanorobotOptions, "`domain` of the nanorobot domain"),
    ("domain.", GFlowNetOptions, "`domain` of the gflownet domain"),
)
SHARED: dict[type[BaseModel], str] = {OptimizerConfig: "optimizer", SamplingConfig: "sampling"}


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the string literal under each field of a model and of the models it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not (issubclass(cls, BaseModel) and cls.__module__.split(".")[0] in ("sciRL", "domains")):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = _string(below)
    return found


def _string(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    """Return (key, allowed, default, sentence) for each key; sections are opened in place, shared ones named."""
    docs = field_docs(model)
    table: list[tuple[str, str, str, str]] = []
    for name, field in model.model_fields.items():
        inner, key = _models(field.annotation), prefix + name
        if name == "train":
            table.append((key, "a section", "required", docs[name]))
        elif len(inner) == 1 and inner[0] in SHARED:
            table.append(
                (key, f"a section: see [{SHARED[inner[0]]}](#{SHARED[inner[0]]})", _changed(field), docs[name])
            )
        elif len(inner) == 1:
            is_map = get_origin(field.annotation) is dict
            default = "required" if field.is_required() else "null" if _optional(field) else ""
            table.append((key, "named sections" if is_map else "a section", default, docs[name]))
            table += rows(inner[0], f"{key}.NAME." if is_map else f"{key}.")
        else:
            table.append((key, _allowed(field), _default(field), docs[name]))
    return table


def _optional(field: FieldInfo) -> bool:
    return NoneType in get_args(field.annotation)


def _changed(field: FieldInfo) -> str:
    """Return where a section's default departs from the defaults of its class."""
    value = field.get_default(call_default_factory=True)
    return ", ".join(f"{name}: {getattr(value, name)}" for name in sorted(value.model_fields_set))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _allowed(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [f"{sign} {getattr(m, name)}" for m in field.metadata for name, sign in signs.items() if hasattr(m, name)]
    return " ".join([_type_words(field.annotation), ", ".join(limits)]).rstrip()


def _type_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(str(value) for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join("null" if part is NoneType else _type_words(part) for part in arguments)
    if origin in (tuple, list):
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"map of {_type_words(arguments[0])} to {_type_words(arguments[1])}"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, value))}]"
    return str(value) if value != "" else '""'


def page() -> str:
    """Return the whole page."""
    parts = [GUIDE.read_text(encoding="utf-8").rstrip(), "", "## Every key", ""]
    parts += ["`NAME` is the name of a stage. A value outside `allowed` is an error that names the key and its line."]
    for prefix, model, title in SECTIONS:
        parts += ["", f"### {title}", "", "| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
        parts += [f"| `{key}` | {_cell(allowed)} | {_code(default)} | {_cell(text)} |"
                  for key, allowed, default, text in rows(model, prefix)]  # fmt: skip
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(default: str) -> str:
    return default if default in ("required", "") else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
