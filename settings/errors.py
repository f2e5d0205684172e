"""Validation errors as sentences for the user: each with its key as typed, its value, and what is legal."""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.base import Group, GroupError, Legal, PathError, TargetError, as_typed


class SettingsError(ValueError):
    """A configuration that makes no sense; the message has a line per problem."""


def sentences(group: type[Group], values: object, error: ValidationError) -> str:
    """A line for each problem of values that do not describe a group."""
    problems = error.errors()
    # A path may be one of several kinds of value: that it is none of the others is no problem of its own.
    paths = [_place(group, each["loc"])[0] for each in problems if isinstance(_cause(each), PathError)]
    shown = [p for p in problems if isinstance(_cause(p), PathError) or _place(group, p["loc"])[0] not in paths]
    return "\n".join(dict.fromkeys(_sentence(group, values, problem) for problem in shown))


def keys_of(group: type[Group], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every dotted key of a group with its field, those of inner groups after their group's."""
    for name, field in group.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key, field
        inner = group_of(field.annotation)
        if inner is not None:
            yield from keys_of(inner, f"{key}.")


def _sentence(group: type[Group], values: object, problem: ErrorDetails) -> str:
    keys, field, rest = _place(group, problem["loc"])
    key, value, kind = ".".join(keys), _value(values, keys), problem["type"]
    cause = _cause(problem)
    if kind == "extra_forbidden" and len(rest) == 1:
        unknown = ".".join([*keys, rest[0]])
        near = difflib.get_close_matches(unknown, [name for name, _ in keys_of(group)], n=3, cutoff=0.8)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        return f"There is no key '{unknown}'{hint} All keys: python train.py --help"
    if kind == "missing" and not rest:
        return f"{key} is missing."
    if isinstance(cause, PathError) or (isinstance(cause, TargetError) and not rest):
        return f"{key}={as_typed(value)}: {cause}"
    if isinstance(cause, GroupError) and not rest:
        return f"{key}={as_typed(value)}: it is a group of keys: {', '.join(f'{key}.{name}' for name in cause.keys)}."
    if field is None or group_of(field.annotation) is not None:  # what a group's own check found
        return str(cause or problem["msg"])
    return f"{key}={as_typed(value)}: must be {legal(field.annotation, field.metadata)}."


def _cause(problem: ErrorDetails) -> Any:
    return problem.get("ctx", {}).get("error")


def _place(group: type[Group], location: Sequence[int | str]) -> tuple[list[str], FieldInfo | None, list[str]]:
    """The keys of a location, the last one's field, and the steps that are no keys: unknown ones, members of unions and lists."""
    keys: list[str] = []
    field: FieldInfo | None = None
    inside: type[Group] | None = group
    steps = [str(step) for step in location]
    for position, step in enumerate(steps):
        fields = {} if inside is None else {info.alias or name: info for name, info in inside.model_fields.items()}
        if step in fields:
            field = fields[step]
            inside = group_of(field.annotation)
        elif field is not None and get_origin(field.annotation) is dict and keys[-1:] == steps[position - 1 : position]:
            inside = group_of(get_args(field.annotation)[1])  # such as callbacks.NAME
        else:
            return keys, field, steps[position:]
        keys.append(step)
    return keys, field, []


def group_of(annotation: Any) -> type[Group] | None:
    """The group that an annotation, or its one alternative beside None, is."""
    of_several = get_origin(annotation) in (Union, types.UnionType)
    parts = [part for part in (get_args(annotation) if of_several else [annotation]) if part is not type(None)]
    found = parts[0] if len(parts) == 1 else None
    return found if isinstance(found, type) and issubclass(found, Group) else None


def _value(values: object, keys: Sequence[str]) -> object:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def legal(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The legal values of an annotation in words, such as ``a whole number of at least 1 or null``."""
    parts = list(dict.fromkeys(_alternatives(annotation, metadata)))
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _alternatives(annotation: Any, metadata: Sequence[Any]) -> list[str]:
    """The words for each alternative of an annotation, null last."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    stated = next((item.text for item in metadata if isinstance(item, Legal)), None)
    if stated is not None:
        return [stated]
    if origin is Annotated:
        return _alternatives(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return [as_typed(value) for value in arguments]
    if origin in (Union, types.UnionType) and {*arguments} != {int, float}:
        found = [words for part in arguments for words in _alternatives(part, () if part is type(None) else metadata)]
        return sorted(found, key=lambda words: words == "null")
    if annotation in (bool, type(None)):
        return ["true", "false"] if annotation is bool else ["null"]
    return [_one_kind(annotation, origin, arguments, metadata)]


def _one_kind(annotation: Any, origin: Any, arguments: Sequence[Any], metadata: Sequence[Any]) -> str:
    """A list, or a number with its bounds, which stand in the metadata itself or in that of a ``Field`` there."""
    if origin in (list, tuple):
        return f"a list, each item {legal(arguments[0])}"
    kinds = {int: "a whole number", float: "a number", str: "a text"}
    what = "a number" if origin in (Union, types.UnionType) else kinds.get(annotation, "a group of keys")
    words = {Ge: "of at least {0.ge}", Gt: "above {0.gt}", Le: "at most {0.le}", Lt: "below {0.lt}"}
    found = {type(part): part for item in metadata for part in (item, *getattr(item, "metadata", ()))}
    bounds = [text.format(found[kind]) for kind, text in words.items() if kind in found]
    return f"{what} {' and '.join(bounds)}".strip()
