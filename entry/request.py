"""What a command line requests, and how this process was started."""

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.errors import RequestError
from settings.run import AllowedPackages, G, RequestKeys, validated

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
        return self.of(RequestKeys)

    @cached_property
    def allow(self) -> tuple[str, ...]:
        """Packages of the user's own that a ``_target_`` may name. Raises RequestError or SettingsError."""
        return tuple(self.of(AllowedPackages).allow)

    @property
    def typed_keys(self) -> list[str]:
        """The keys of the overrides, without ``+`` and ``~``."""
        return [override.split("=")[0].lstrip("+~") for override in self.overrides]

    def of(self, group: type[G]) -> G:
        """The keys of a group that the command alone has. Raises RequestError or SettingsError."""
        try:
            plain = OmegaConf.to_container(OmegaConf.masked_copy(self.config, list(group.model_fields)), resolve=True)
        except OmegaConfBaseException as error:
            raise unresolved(error) from None
        return validated(group, plain)


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
