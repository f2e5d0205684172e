"""Validation errors as sentences for the user: each with its key as typed, its value, and what is legal."""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.base import Group, GroupError, TargetError, as_typed, legal


class SettingsError(ValueError):
    """A configuration that makes no sense; the message has a line per problem."""


def sentences(group: type[Group], values: object, error: ValidationError) -> str:
    """A line for each problem of values that do not describe a group."""
    return "\n".join(dict.fromkeys(_sentence(group, values, problem) for problem in error.errors()))


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
    cause = problem.get("ctx", {}).get("error")
    if kind == "extra_forbidden" and len(rest) == 1:
        unknown = ".".join([*keys, rest[0]])
        near = difflib.get_close_matches(unknown, [name for name, _ in keys_of(group)], n=3, cutoff=0.8)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        return f"There is no key '{unknown}'{hint} All keys: python train.py --help"
    if kind == "missing" and not rest:
        return f"{key} is missing."
    if isinstance(cause, TargetError) and not rest:
        return f"{key}={as_typed(value)}: it needs a _target_, as the options in conf/ have."
    if isinstance(cause, GroupError) and not rest:
        return f"{key}={as_typed(value)}: it is a group of keys: {', '.join(f'{key}.{name}' for name in cause.keys)}."
    if field is None or group_of(field.annotation) is not None:  # what a group's own check found
        return str(cause or problem["msg"])
    return f"{key}={as_typed(value)}: must be {legal(field.annotation, field.metadata)}."


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
    parts = (
        [part for part in get_args(annotation) if part is not type(None)]
        if get_origin(annotation) in (Union, types.UnionType)
        else [annotation]
    )
    found = parts[0] if len(parts) == 1 else None
    return found if isinstance(found, type) and issubclass(found, Group) else None


def _value(values: object, keys: Sequence[str]) -> object:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
