"""Run configuration: a YAML recipe plus `a.b.c=value` overrides, checked against pydantic models.

    class Training(BaseModel, extra="forbid"):
        lr: float = 1e-4
    config = load_config(Training, Path("recipes/tiny.yaml"), ["lr=3e-4"])

Every problem is one line that names the key, where it was written, what was found and what is allowed.
Values are never coerced across types: `"3"` is not a number and `true` is not 1.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sciRL.errors import UserError

Model = TypeVar("Model", bound=BaseModel)
KeyPath: TypeAlias = tuple[str | int, ...]
Origins: TypeAlias = dict[KeyPath, str]

EXTENDS = "extends"
DEEPEST = 32
"""Most sections inside one another; what goes deeper is a mistake, or contains itself."""
MOST_VALUES = 100_000
"""Most values of a recipe or override, with those that aliases repeat."""
LONGEST_SHOWN = 200
"""Characters of a value that a message shows."""
PLAIN_TAGS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
"""YAML's types that JSON has too."""

_PLAIN_REQUIREMENTS = {
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a section (key: value lines)",
    "model_type": "must be a section (key: value lines)",
    "model_attributes_type": "must be a section (key: value lines)",
}


class _Loader(yaml.SafeLoader):
    """YAML with the scalar rules of version 1.2 (`1e-5` is a number, `No` is text), JSON's types only, and no NaN."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in PLAIN_TAGS
    }


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back unchanged."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _scalar_rules(target: type[_Loader] | type[_Dumper]) -> None:
    kept = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    target.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag in kept]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    rules: list[tuple[str, str, str]] = [
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
        (
            "float",
            r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
            r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))",
            "-+.0123456789",
        ),
    ]
    for name, pattern, first in rules:
        target.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$"), list(first))


_scalar_rules(_Loader)
_scalar_rules(_Dumper)


def load_config(
    model_class: type[Model],
    recipe: Path | None,
    overrides: Sequence[str] = (),
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Model:
    """Return a validated configuration: the model's defaults, then the recipe, then the overrides.

    Args:
        model_class: a pydantic model; give it and its nested models `extra="forbid"`.
        recipe: a YAML file, or None for defaults only. Its key `extends: other.yaml` (a path beside it)
            names a recipe whose values it replaces key by key; lists are replaced whole.
        overrides: `a.b.c=value` texts; the value is read as YAML, `a.b=` sets null.
        prepare: rewrites the plain data before validation (references between sections).

    Raises:
        UserError: one line for each problem (file, line, key, value, what is allowed).
    """
    data, origins = read_recipe(recipe) if recipe is not None else ({}, {})
    for override in overrides:
        _apply_override(data, origins, override)
    return validate_config(model_class, prepare(data) if prepare is not None else data, origins)


def validate_config(
    model_class: type[Model], data: Mapping[str, Any], origins: Origins | None = None, prefix: str = ""
) -> Model:
    """Check plain data against a model.

    Args:
        origins: where each key path was written ("tiny.yaml line 3"), as `read_recipe` returns it.
        prefix: the section the data stands in, so that messages name `domain.codec` and not `codec`.
    """
    try:
        # JSON in strict mode takes text for a Path or an Enum but neither "3" nor true for a number.
        return model_class.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems = [_explain(model_class, data, origins or {}, prefix, item) for item in error.errors()]
        # A union reports one problem per member; the same line once is enough.
        raise UserError("\n".join(dict.fromkeys(problems))) from None


def dump_config(config: BaseModel) -> str:
    """Return YAML that `load_config` reads back to an equal configuration."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read_recipe(path: Path) -> tuple[dict[str, Any], Origins]:
    """Return a recipe's data, with `extends` resolved, and where each of its keys was written."""
    return _read_recipe(Path(path), ())


def _read_recipe(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], Origins]:
    if path.resolve() in seen:
        raise UserError(f"recipe {path}: 'extends' leads back to itself")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"recipe {path} does not exist{_yaml_beside(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} cannot be read: {error}") from None
    data, origins = _parse_mapping(text, path)
    base = data.pop(EXTENDS, None)
    if base is None:
        return data, origins
    if not isinstance(base, str):
        raise UserError(f"{origins[(EXTENDS,)]}: 'extends' must be a file name; found {base!r}")
    merged, base_origins = _read_recipe(path.parent / base, (*seen, path.resolve()))
    _merge(merged, data)
    return merged, {**base_origins, **origins}


def _yaml_beside(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = sorted(item.name for item in path.parent.glob("*.yaml"))
    return f"; in {path.parent} there are: {', '.join(names)}" if names else ""


def _parse_mapping(text: str, path: Path) -> tuple[dict[str, Any], Origins]:
    data, origins = _parse(text, f"recipe {path}", path.name)
    if data is None:
        raise UserError(f"recipe {path} is empty; it must hold 'key: value' lines")
    if not isinstance(data, dict):
        raise UserError(f"recipe {path} must hold 'key: value' lines; found {shown(data)}")
    return data, origins


def _parse(text: str, source: str, name: str) -> tuple[Any, Origins]:
    """Return what a YAML text holds, and where each of its keys is written.

    Args:
        source: the text's origin, for messages about all of it.
        name: the same, for messages about a line of it.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        origins = _key_origins(node, name)
        return None if node is None else loader.construct_document(node), origins
    except (yaml.YAMLError, ValueError, KeyError) as error:
        # A tag that its text does not fit (`!!int x`, `!!bool x`) is none of YAML's own errors.
        raise UserError(f"{source} is not valid YAML: {_one_line(error)}") from None
    except RecursionError:
        raise UserError(f"{source} is nested deeper than {DEEPEST} levels") from None


def _key_origins(node: yaml.Node | None, name: str) -> Origins:
    """Return where each key is written; a key given twice is an error, as the first would silently be lost."""
    origins: Origins = {}
    for key_path, line in _key_lines(node, name):
        where = f"{name} line {line}"
        if key_path in origins:
            raise UserError(f"{where}: key {_dotted(key_path)!r} is given twice (first in {origins[key_path]})")
        origins[key_path] = where
    return origins


def _key_lines(root: yaml.Node | None, name: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each key in the order of the text, aliases followed."""
    left: list[tuple[KeyPath, yaml.Node | None]] = [((), root)]
    for _ in range(MOST_VALUES):
        if not left:
            return
        path, node = left.pop()
        if len(path) > DEEPEST:
            raise UserError(f"{name}: nested deeper than {DEEPEST} levels, or an anchor that contains itself")
        if isinstance(node, yaml.MappingNode):
            inner = [((*path, str(key.value)), value) for key, value in node.value]
            yield from ((here, key.start_mark.line + 1) for (here, _), (key, _) in zip(inner, node.value, strict=True))
            left += reversed(inner)
        elif isinstance(node, yaml.SequenceNode):
            left += reversed([((*path, index), value) for index, value in enumerate(node.value)])
    raise UserError(f"{name}: more than {MOST_VALUES} values")


def _merge(base: dict[Any, Any], over: Mapping[Any, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _apply_override(data: dict[str, Any], origins: Origins, override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    source = f"override {shown(override)}"
    if not equals or not all(keys):
        raise UserError(f"{source} must look like section.key=value")
    if len(keys) > DEEPEST:
        raise UserError(f"{source}: a key has at most {DEEPEST} parts; found {len(keys)}")
    value, _ = _parse(text, f"{source}: the value", source)
    section = data
    for depth, key in enumerate(keys[:-1]):
        inner = section.setdefault(key, {})
        if inner is None:
            inner = section[key] = {}
        if not isinstance(inner, dict):
            raise UserError(f"{source}: {'.'.join(keys[: depth + 1])!r} is {shown(inner)}, not a section")
        section = inner
    section[keys[-1]] = value
    origins[tuple(keys)] = source


def _explain(model_class: type[BaseModel], data: Mapping[str, Any], origins: Origins, prefix: str, problem: Any) -> str:
    location: KeyPath = tuple(problem["loc"])
    models = _models_at(model_class, location[:-1])
    key_path = _written_path(data, location)
    where = _origin(origins, key_path)
    key = _dotted((*prefix.split("."), *key_path) if prefix else key_path) or "the configuration"
    lead = f"{where}: " if where else ""
    if problem["type"] == "extra_forbidden":
        allowed = sorted({_public_name(model, name) for model in models for name in model.model_fields})
        close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{lead}unknown key {key!r}{hint}; allowed: {', '.join(allowed)}"
    if problem["type"] == "union_tag_not_found":
        name = str(problem["ctx"]["discriminator"]).strip("'")
        tags = [tag for model in _models_at(model_class, location) for tag in _tags(model, name)]
        return f"{lead}key {f'{key}.{name}'!r} is missing; allowed: {', '.join(tags)}"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        name = str(context["discriminator"]).strip("'")
        return f"{lead}{key}.{name} = {shown(context['tag'])}: must be one of {context['expected_tags']}"
    if problem["type"] == "missing":
        return f"{lead}key {key!r} is missing"
    if isinstance(problem["input"], Mapping) and problem["type"] == "value_error":
        return f"{lead}{key}: {_requirement(problem)}"
    return f"{lead}{key} = {shown(problem['input'])}: {_requirement(problem)}"


def _origin(origins: Origins, path: KeyPath) -> str:
    """Where a key was written: itself, else the nearest section around it, else the last key inside it."""
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((where for key, where in reversed(origins.items()) if path and key[: len(path)] == path), "")


def _requirement(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    plain = _PLAIN_REQUIREMENTS.get(problem["type"])
    return plain or _one_line(message.replace("Input should be", "must be", 1))


def _written_path(data: Any, location: KeyPath) -> KeyPath:
    """Drop the union tags that pydantic puts into locations: only keys that lead into the data stay."""
    path: list[str | int] = []
    for index, step in enumerate(location):
        if isinstance(data, Mapping) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        elif not (isinstance(data, Mapping) and index == len(location) - 1):
            continue
        path.append(step)
    return tuple(path)


def _models_at(model_class: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    models = [model_class]
    for step in path:
        fields = [model.model_fields[str(step)] for model in models if str(step) in model.model_fields]
        inner = [found for field in fields for found in _models_in(field.annotation)]
        if inner:
            models = inner
        else:
            tagged = [model for model in models if _answers_to(model, str(step))]
            models = tagged or models
    return models


def _answers_to(model: type[BaseModel], tag: str) -> bool:
    """Whether a union member is the one that pydantic calls `tag`: its class name or its literal `kind`."""
    literals = [value for field in model.model_fields.values() for value in get_args(field.annotation)]
    return model.__name__ == tag or tag in [value for value in literals if isinstance(value, str)]


def _tags(model: type[BaseModel], discriminator: str) -> list[str]:
    return [str(value) for value in get_args(model.model_fields[discriminator].annotation)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _public_name(model: type[BaseModel], name: Hashable) -> str:
    return model.model_fields[str(name)].alias or str(name)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(step) for step in path)


def shown(value: object) -> str:
    """Return a value as a message shows it: without the middle where it is long."""
    return _without_middle(repr(value))


def _without_middle(text: str) -> str:
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half:]}"


def _one_line(message: object) -> str:
    """Return a message on one line; a number of a thousand digits in it loses its middle."""
    return " ".join(_without_middle(word) for word in str(message).split())
