"""Reading the JSON and CSV files of a run folder, which may be damaged or somebody else's."""

import csv
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from run_folder import RunFolderError


class Fields(dict[str, Any]):
    """An object or a row of a file; looking up a key that is not there raises RunFolderError."""

    # Without a path as `dataclasses.asdict` copies it.
    def __init__(self, content: Iterable[Any] = (), path: Path | str = "a file") -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise RunFolderError(f"{self._path} is damaged: it lacks {key}.")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header, as `Fields`. Raises RunFolderError if it is not CSV."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [Fields(row, path) for row in csv.DictReader(file)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file and those within it as `Fields`. Raises RunFolderError if it is no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=partial(Fields, path=path))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: it is no JSON object.")
    return content
