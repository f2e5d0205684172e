"""What Hydra builds by itself before any of our code runs: callbacks, a launcher, a sweeper, and loggers.

Whatever lies under `hydra` is built while Hydra starts, and it can come from the command line
(``+hydra.callbacks.x._target_=…``), from a group (``hydra/job_logging=…``) or from a file of ``--config-dir``. So each
configuration that Hydra composes, those of a sweep's jobs included, is checked between composing and building:

- `hydra.callbacks` must hold our own and no other: without it a refused request would leave its folder;
- `hydra.launcher` and `hydra.sweeper` must be installed plugins, found by name in `hydra_plugins`; nothing inside them
  may be built;
- `hydra.job_logging` and `hydra.hydra_logging` go to `logging.config`, which calls what stands under ``()`` or
  ``class`` and imports what an ``ext://`` names: only lines to stdout and stderr are allowed, as a handler that writes
  files would leave some behind after a refused request;
- `hydra.job.env_set` must be empty: a PATH in it would choose the programs that we start.

The checked values are resolved and put back, so that Hydra builds exactly those. What is refused as it is typed:
`entry.cli.overrides`.
"""

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from entry.cli import overrides
from settings.base import entries
from settings.errors import SettingsError
from settings.run import LaunchKeys, validated

CALLBACKS = {"folders": {"_target_": "entry.cli.command.RememberFolders"}}
PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
LOGGING_CLASSES = ("logging.StreamHandler", "logging.NullHandler", "logging.Formatter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
BUILT = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")
MERGED = ("common", "hydra")  # folders of conf/ of which every configuration has several files
COMPOSE, MERGE = "load_configuration", "_compose_config_from_defaults_list"


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Check each configuration that Hydra composes before it builds anything of it, see `settle` and `overrides.combine`."""
    compose, merge = getattr(ConfigLoaderImpl, COMPOSE), getattr(ConfigLoaderImpl, MERGE)

    @functools.wraps(compose)
    def composed(*args: Any, **options: Any) -> DictConfig:
        config: DictConfig = compose(*args, **options)
        settle(config.hydra)
        _check_launch(config)
        return config

    @functools.wraps(merge)
    def merged(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> DictConfig:
        config: DictConfig = merge(self, defaults, repo)
        paths = (str(default.config_path).partition("/") for default in defaults)
        files = Counter(group for group, _, name in paths if name and group not in MERGED)
        if any(count > 1 for count in files.values()):
            overrides.combine(config, defaults, repo)
        return config

    # Hydra has no hook between composing and building; all its ways of composing go through these methods.
    setattr(ConfigLoaderImpl, COMPOSE, composed)
    setattr(ConfigLoaderImpl, MERGE, merged)
    try:
        yield
    finally:
        setattr(ConfigLoaderImpl, COMPOSE, compose)
        setattr(ConfigLoaderImpl, MERGE, merge)


def _check_launch(config: DictConfig) -> None:
    """Raise ConfigCompositionException for what a sweep cannot be run with."""
    try:
        validated(LaunchKeys, {key: config[key] for key in LaunchKeys.model_fields if key in config})
    except SettingsError as error:
        raise ConfigCompositionException(str(error)) from None


def settle(hydra: DictConfig) -> None:
    """Resolve what Hydra is going to build, in place. Raises ConfigCompositionException for what may not be built."""
    if hydra.job.env_set:
        names = ", ".join(map(str, hydra.job.env_set))
        raise ConfigCompositionException(f"hydra.job.env_set ({names}) is not allowed: set it in the shell.")
    for name in BUILT:
        try:
            node = OmegaConf.to_container(hydra[name], resolve=True)
        except (OmegaConfBaseException, ValueError) as error:  # ValueError: it is null
            reason = str(error).splitlines()[0]
            where = "a logging configuration that writes a file" if "output_dir" in reason else "it"
            raise ConfigCompositionException(
                f"hydra.{name}: {where} is not allowed or not there ({reason}). Leave it out, or choose hydra/{name}=…: "
                "for logging disabled, none or stdout, else basic."
            ) from None
        if name == "callbacks" and node != (CALLBACKS if hydra.job.config_name else {}):  # --hydra-help has none
            raise ConfigCompositionException(
                f"hydra.callbacks={node} is not allowed: the command's own callback, and no other, removes the folder of a "
                "refused request. Leave hydra.callbacks out; callbacks of a training go into callbacks=."
            )
        for place, key, value in () if name == "callbacks" else entries(node, f"hydra.{name}"):
            if not _harmless(name, place, key, value):
                raise ConfigCompositionException(
                    f"{place}={value} is not allowed: under hydra, nothing is built but the commands' own callback, "
                    "installed launchers and sweepers, and loggers that write to stdout or stderr."
                )
        with flag_override(hydra, ["readonly", "struct"], [False, False]):
            hydra[name] = node


def _harmless(name: str, place: str, key: str, value: object) -> bool:
    if "${" in key or (isinstance(value, str) and "${" in value):  # would be resolved again, to something not seen here
        return False
    if name in ("job_logging", "hydra_logging"):
        if key == "()" or (key == "class" and value not in LOGGING_CLASSES):
            return False
        return not (isinstance(value, str) and re.match("[a-z]+://", value)) or value in STREAMS
    if key != "_target_":
        return True
    return place == f"hydra.{name}._target_" and isinstance(value, str) and value.startswith(PLUGINS)
