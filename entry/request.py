"""What a command line requests, and how this process was started."""

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.errors import RequestError
from settings.base import Group
from settings.evaluation import ReportSettings
from settings.run import AllowedPackages, PageKeys, RequestKeys, SweepKey, validated

LONGEST_TEMPORARY = 70  # bytes; a socket's path has 107, of which multiprocessing appends 32
SHORT_FOLDERS = tuple(str(Path("/", name)) for name in ("tmp", "var/tmp", "dev/shm"))
PROJECT = Path(__file__).resolve().parent.parent
CONF = PROJECT / "conf"


@dataclass(frozen=True)
class Request:
    """What a command line requests."""

    config: DictConfig  # everything composed, interpolations unresolved
    overrides: tuple[str, ...]  # what was typed, without Hydra's own keys
    folder: Path  # where the results go
    folder_was_typed: bool  # (hydra.run.dir=); the default name otherwise

    @cached_property
    def keys(self) -> RequestKeys:
        """The keys beside a run's own configuration. Raises RequestError or SettingsError."""
        return validated(RequestKeys, self._plain(RequestKeys))

    @cached_property
    def allow(self) -> tuple[str, ...]:
        """Packages of the user's own that a ``_target_`` may name. Raises RequestError or SettingsError."""
        return tuple(validated(AllowedPackages, self._plain(AllowedPackages)).allow)

    @cached_property
    def report(self) -> ReportSettings:
        """What a page of the command's own shows. Raises RequestError or SettingsError."""
        return validated(PageKeys, self._plain(PageKeys)).report

    @cached_property
    def sweep(self) -> str | None:
        """The folder of a sweep that evaluate.py is given. Raises RequestError or SettingsError."""
        return validated(SweepKey, self._plain(SweepKey)).sweep

    @property
    def typed_keys(self) -> list[str]:
        """The keys of the overrides, without ``+`` and ``~``."""
        return [override.split("=")[0].lstrip("+~") for override in self.overrides]

    def _plain(self, group: type[Group]) -> Any:
        try:
            return OmegaConf.to_container(OmegaConf.masked_copy(self.config, list(group.model_fields)), resolve=True)
        except OmegaConfBaseException as error:
            raise unresolved(error) from None


def unresolved(error: OmegaConfBaseException) -> RequestError:
    """The error for an interpolation that cannot be resolved."""
    return RequestError(f"The configuration cannot be resolved: {str(error).splitlines()[0]}")


def launched() -> bool:
    """Whether this process is one of several that an outer launcher, such as torchrun, has started."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") not in ("", "1")


def rank() -> int:
    """This process's number among them, 0 where it is alone."""
    return int(os.environ["RANK"]) if launched() else 0


def world_size() -> int:
    """How many processes there are."""
    value = os.environ.get("WORLD_SIZE", "1")
    return int(value) if value.isdecimal() else 1


def environment_error() -> str | None:
    """Why no command can be carried out from here, whatever was typed; None where it can."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return "The working directory has been deleted. Change to one that exists: cd FOLDER"
    return None


def choose_temporary_folder() -> str | None:
    """Replace a folder of temporary files whose path is too long for sockets, for this process and those that it starts.

    Returns a note on it, or None where nothing was changed. Raises RequestError where no such folder can be written to.
    """
    try:
        found = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise RequestError(
            f"There is no folder for temporary files ({error.strerror or error}). Type one: TMPDIR=FOLDER"
        ) from None
    if len(os.fsencode(found)) <= LONGEST_TEMPORARY:
        return None
    for short in SHORT_FOLDERS:
        if os.access(short, os.W_OK | os.X_OK):
            os.environ["TMPDIR"] = tempfile.tempdir = short
            return f"{found} is too long for the sockets of processes that read images; temporary files are in {short}."
    return None
