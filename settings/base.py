"""What the settings of all groups share: strict models, common types, and how their values are written and described."""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeGuard

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

LABEL_FILES = (".csv", ".tsv", ".txt")  # endings: a table of labels, or CVAT's labelmap.txt


class Legal:
    """Describes the legal values of a type, after "must be", where its annotation does not."""

    def __init__(self, text: str) -> None:
        self.text = text


class Group(BaseModel):
    """Keys; unknown ones and other types are errors, nothing is converted; one not given has its default."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _check_is_group(cls, value: Any) -> Any:
        if isinstance(value, Mapping | BaseModel):
            return value
        raise GroupError(cls)

    def to_dict(self) -> dict[str, Any]:
        """The keys that were given, by the names they have in YAML."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class GroupError(ValueError):
    """A single value stands where the keys of a group belong."""

    def __init__(self, group: type[Group]) -> None:
        self.keys = [field.alias or name for name, field in group.model_fields.items()]
        super().__init__(", ".join(self.keys))


class Target(Group):
    """A class or function of Python with its arguments: ``_target_`` and any other keys."""

    model_config = ConfigDict(extra="allow")

    target: str = Field(alias="_target_", description="the class or function that is called with the other keys")
    partial: bool = Field(False, alias="_partial_", description="whether it is called later, with what is known then")

    @model_validator(mode="before")
    @classmethod
    def _check_has_target(cls, value: Any) -> Any:
        if not isinstance(value, Mapping | BaseModel) or (isinstance(value, Mapping) and "_target_" not in value):
            raise TargetError("it needs a _target_, as the options in conf/ have.")
        return value


class TargetError(ValueError):
    """A ``_target_`` is missing."""


class PathError(ValueError):
    """A value that can be no path of a file here; the message has why, and what to do."""


def absolute(path: str) -> str:
    """A path with ``~`` expanded, relative to no folder; an empty one stays empty. Raises PathError for an address."""
    if "://" in path:
        raise PathError("it is an address, and files are read. Download it first, and type the path of the file.")
    try:
        return str(Path(path).expanduser().absolute()) if path else path
    except RuntimeError:
        raise PathError("this user has no home folder; type the path in full.") from None


def is_csv(value: object) -> TypeGuard[str]:
    """Whether a value names a CSV file, with any delimiter."""
    return isinstance(value, str) and value.lower().endswith((".csv", ".tsv"))


def is_label_file(value: str) -> bool:
    """Whether a value names a file that holds a label space."""
    return value.lower().endswith(LABEL_FILES)


def as_typed(value: Any) -> str:
    """A value in the way it is typed on the command line; texts within it in quotes where they need them."""
    if isinstance(value, BaseModel):
        return as_typed(value.model_dump(by_alias=True, exclude_none=True))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_within(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_within, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _within(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else as_typed(value)


def quoted(text: str) -> str:
    """A text in double quotes, unless Hydra reads it as this text without them."""
    plain = not text or (re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_/.@+ -]*", text) and text == text.strip())
    if plain and text.lower() not in ("true", "false", "null", "nan", "inf"):
        return text
    escaped = re.sub(r'(\\+)(?="|$)', r"\1\1", text).replace('"', r"\"")  # other backslashes stand for themselves
    return f'"{escaped}"'


def override(key: str, value: str | Sequence[str]) -> str:
    """``key=value`` as it is typed in a shell, of a text or a list of texts."""
    return shlex.quote(f"{key}={quoted(value) if isinstance(value, str) else as_typed(value)}")


def entries(node: object, place: str = "") -> Iterator[tuple[str, str, object]]:
    """(dotted key, its last part, value) of everything below a node of mappings and lists, inner nodes included."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in pairs:
        inner = f"{place}.{key}" if place else str(key)
        yield inner, str(key), value
        yield from entries(value, inner)


def _finite(value: float) -> float:
    if not abs(value) <= sys.float_info.max:  # also of whole numbers that no float can hold
        raise ValueError("not a finite number")
    return value


Number = Annotated[int | float, AfterValidator(_finite)]  # 5 stays 5 in YAML
Share = Annotated[Number, Field(gt=0, lt=1)]
Whole = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Text = Annotated[str, Field(min_length=1), Legal("a text that is not empty")]
Size = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    Legal("[height,width], two positive whole numbers of pixels"),
]
PathText = Annotated[str, Field(min_length=1), AfterValidator(absolute), Legal("a path")]
Paths = PathText | Annotated[list[PathText], Field(min_length=1)] | None
OF_DATA = "data"  # in place of a label space: the one of the data
NameOrCSV = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(lambda value: absolute(value) if is_label_file(value) else value),
    Legal("a name, or the path of a CSV file"),
]
Byte = Annotated[int, Ge(0), Le(255)]
Ids = Annotated[list[Byte], Field(min_length=1), Legal("a list of whole numbers in 0–255, such as [11]")]
