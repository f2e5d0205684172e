"""Going on with a sweep: the command line that began it, with what is typed now in place of its own."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from entry.errors import RequestError
from hydra_plugins.idd_lightning._jobs import quoted
from run_files import SweepFile, read_json
from run_folder import SWEEP
from settings.base import as_typed

KEY = "sweep.resume"


def resumed(arguments: Sequence[str]) -> list[str]:
    """The whole command line of a sweep that `sweep.resume` names. Raises RequestError where there is none."""
    typed, rest = get_args_parser().parse_known_args(list(arguments))
    folder = _folder(typed.overrides)
    file = folder / SWEEP
    if not file.is_file():
        has = "it has no sweep.json" if folder.is_dir() else "there is no such folder"
        raise RequestError(f"{KEY}={folder}: {has}. Give the folder of a sweep that python train.py -m has printed.")
    before = read_json(file, SweepFile)["arguments"]
    again = {_key(each) for each in typed.overrides}
    if typed.config_dir:
        again.add("--config-dir")
    kept = [each for each in before if _key(each) not in again]
    options = ["-m", *rest] if not typed.config_dir else ["-m", f"--config-dir={typed.config_dir}", *rest]
    new = [each for each in typed.overrides if _key(each) != KEY]
    place = quoted(folder)
    return [*options, *kept, *new, f"{KEY}={place}", f"hydra.sweep.dir={place}"]


def _folder(overrides: Sequence[str]) -> Path:
    [text] = [each for each in overrides if _key(each) == KEY][-1:] or [f"{KEY}="]
    try:
        value = OverridesParser.create().parse_override(text).value()
    except HydraException:
        raise RequestError(f"{text} cannot be read. Quote a path with spaces: '{KEY}=\"FOLDER\"'") from None
    if not isinstance(value, str) or not value:
        raise RequestError(f"{KEY}={as_typed(value)}: Type the folder of a sweep: {KEY}=FOLDER")
    return Path(value).absolute()


def _key(argument: str) -> str:
    return re.sub(r"^[+~]+", "", argument.split("=", maxsplit=1)[0])
