"""Reading the JSON and CSV files of a run folder, which may be damaged or somebody else's."""

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, NotRequired, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError, model_validator
from typing_extensions import TypedDict

from run_folder import RunFolderError

Cell = float | Literal[""]  # of a column that not every row has a number in


class Fields(dict[str, Any]):
    """An object or a row of a file; looking up a key that is not there raises RunFolderError."""

    # Without a path as `dataclasses.asdict` copies it.
    def __init__(self, content: Iterable[Any] = (), path: Path | str = "a file") -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise RunFolderError(f"{self._path} is damaged: it lacks {key}.")


class WeightsUsed(TypedDict):
    """The first weights of a training; `sha256` where they are a file."""

    used: str
    sha256: NotRequired[str]


class LoggerUsed(TypedDict):
    """A logger of a run, with the id and the address that it has at its service."""

    kind: str
    id: str | None
    url: str | None


class SkippedSample(TypedDict):
    """A sample that was left out."""

    sample: str
    reason: str


class Environment(TypedDict, total=False):
    """What is read of environment.json; runs of earlier versions lack some of its keys."""

    weights: WeightsUsed
    headline: str
    git_commit: str | None
    accelerator: str
    precision: str
    cores: int
    devices: int
    parameters: int
    logger: LoggerUsed
    loggers: list[LoggerUsed]
    notes: list[str]
    skipped: list[SkippedSample]
    resumed: list[dict[str, Any]]


class StatusFile(TypedDict, total=False):
    """What is read of status.json of a run or an evaluation."""

    state: str
    seconds: float | None
    heartbeat: str


class SweepFile(TypedDict):
    """What is read of sweep.json."""

    arguments: list[str]


class SearchFile(TypedDict):
    """What is read of search.json of a sweep that a sampler chooses the jobs of."""

    storage: str | None
    study: str
    objectives: list[str]
    pruner: str | None


class SweepRow(BaseModel):
    """A row of sweep.csv."""

    model_config = ConfigDict(extra="allow")

    number: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}$")]
    overrides: str
    state: str
    folder: str = ""

    @model_validator(mode="after")
    def _check_scores(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if name.startswith("val/") and value:
                try:
                    float(value)
                except ValueError:
                    raise ValueError(f"{name} is {value!r}, not a number") from None
        return self


class EpochRow(BaseModel):
    """A row of history.csv or timing.csv."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Cell]

    epoch: Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,15}$")]


class TimingRow(EpochRow):
    """A row of timing.csv."""

    steps: float
    waited: float
    workers: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,6}$")] = ""


def read_csv(path: Path, model: type[BaseModel] | None = None) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header, as `Fields`. Raises RunFolderError if it is not CSV, or the `model` refuses a row."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, str]] = [Fields(row, path) for row in csv.DictReader(file)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():  # what csv has for the names of surplus cells, and for cells that lack
            raise RunFolderError(f"{path} is damaged: row {number} has more or fewer cells than the header.")
        if model is not None:
            with _named(path, f"row {number}"):
                model.model_validate(row)
    return rows


def read_rows(path: Path, model: type[BaseModel] | None = None) -> list[dict[str, str]]:
    """Return the rows of a CSV file as `read_csv`, none where there is no file."""
    return read_csv(path, model) if path.exists() else []


def read_json(path: Path, model: Any = None) -> dict[str, Any]:
    """Return the object of a JSON file and those within it as `Fields`. Raises RunFolderError if it is no JSON object, or does not fit the `model`."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, object_hook=partial(Fields, path=path))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: it is no JSON object.")
    if model is not None:
        with _named(path):
            TypeAdapter(model).validate_json(text, strict=True)
    try:  # Python reads NaN and half of a surrogate pair from JSON, which no page and no further file can hold
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    return content


@contextlib.contextmanager
def _named(path: Path, place: str = "") -> Iterator[None]:
    """Raise RunFolderError with the first thing that does not fit a model, with its file and its place there."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        parts = filter(None, (place, ".".join(map(str, first["loc"])), first["msg"]))
        raise RunFolderError(f"{path} is damaged: {': '.join(parts)}") from None
