"""What Hydra builds by itself before any of our code runs: callbacks, a launcher, a sweeper, and loggers.

Whatever lies under `hydra` is built while Hydra starts, and it can come from the command line
(``+hydra.callbacks.x._target_=…``), from a group (``hydra/job_logging=…``) or from a file of ``--config-dir``. So each
configuration that Hydra composes, those of a sweep's jobs included, is checked between composing and building:

- `hydra.callbacks` may hold our own and no other;
- `hydra.launcher` and `hydra.sweeper` must be installed plugins, found by name in `hydra_plugins`; nothing inside them
  may be built;
- `hydra.job_logging` and `hydra.hydra_logging` go to `logging.config`, which calls what stands under ``()`` or
  ``class`` and imports what an ``ext://`` names: only lines to stdout and stderr are allowed, as a handler that writes
  files would leave some behind after a refused request;
- `hydra.job.env_set` must be empty: a PATH in it would choose the programs that we start.

The checked values are resolved and put back, so that Hydra builds exactly those. Three things are refused as typed:
``--experimental-rerun`` unpickles; ``--config-path`` and ``--config-name`` replace the command's own configuration;
`hydra.searchpath` takes ``pkg://`` and imports it. ``--config-dir`` remains.
"""

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from entry.cli.overrides import combine

CALLBACKS = ("entry.cli.command.RememberFolders",)
PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
LOGGING_CLASSES = ("logging.StreamHandler", "logging.NullHandler", "logging.Formatter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
BUILT = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")
COMPOSE, MERGE = "load_configuration", "_compose_config_from_defaults_list"


# A placeholder of a pattern of paths, which Hydra would read as the beginning of a dictionary.
PLACEHOLDER = re.compile(r"\{\w+\}")


def with_quotes(argument: str) -> str:
    """Return an override with Hydra's quotes around values that hold placeholders, such as ``{split}/{name}.png``."""
    key, equals, value = argument.partition("=")
    if not PLACEHOLDER.search(value) or "${" in value or any(mark in value for mark in "\"'"):
        return argument
    parts = value[1:-1].split(",") if value[0] == "[" and value[-1] == "]" else value.split(",")
    quoted = ",".join(f'"{part}"' if PLACEHOLDER.search(part) else part for part in parts)
    return f"{key}{equals}{f'[{quoted}]' if value[0] == '[' else quoted}"


def refusal(arguments: Sequence[str]) -> str | None:
    """Why a command line is refused before Hydra reads anything for it; None where it is not.

    Hydra's own parser reads it, so that an abbreviation is seen as what it stands for; what cannot be parsed ends in
    that parser's SystemExit.
    """
    typed, rest = get_args_parser().parse_known_args(list(arguments))
    if typed.experimental_rerun is not None:
        return "--experimental-rerun is not allowed: it would run whatever the file holds."
    if typed.resolve and not (typed.cfg or typed.help):
        return "--resolve goes with --cfg: python train.py --cfg job --resolve."
    for option, value in {"--config-path": typed.config_path, "--config-name": typed.config_name}.items():
        if value is not None:
            return f"{option}={value} is not allowed: each command has its own configuration. Add options of your own with --config-dir=FOLDER."
    for override in (*typed.overrides, *rest):
        if re.match(r"[+~]*hydra\.searchpath\b", override):
            return (
                f"{override} is not allowed: it can import packages. Add options of your own with --config-dir=FOLDER."
            )
    return None


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Check each configuration that Hydra composes before it builds anything of it, see `settle` and `combine`."""
    compose, merge = getattr(ConfigLoaderImpl, COMPOSE), getattr(ConfigLoaderImpl, MERGE)

    @functools.wraps(compose)
    def composed(*args: Any, **options: Any) -> DictConfig:
        config: DictConfig = compose(*args, **options)
        settle(config.hydra)
        return config

    @functools.wraps(merge)
    def merged(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> DictConfig:
        config: DictConfig = merge(self, defaults, repo)
        combine(config, defaults, repo)
        return config

    # Hydra has no hook between composing and building; all its ways of composing go through these methods.
    setattr(ConfigLoaderImpl, COMPOSE, composed)
    setattr(ConfigLoaderImpl, MERGE, merged)
    try:
        yield
    finally:
        setattr(ConfigLoaderImpl, COMPOSE, compose)
        setattr(ConfigLoaderImpl, MERGE, merge)


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
        for place, key, value in _entries(node, f"hydra.{name}"):
            if not _harmless(name, place, key, value):
                raise ConfigCompositionException(
                    f"{place}={value} is not allowed: under hydra, nothing is built but the commands' own callback, "
                    "installed launchers and sweepers, and loggers that write to stdout or stderr."
                )
        with flag_override(hydra, ["readonly", "struct"], [False, False]):
            hydra[name] = node


def _entries(node: object, place: str) -> Iterator[tuple[str, str, object]]:
    """(dotted key, its last part, value) of everything below a node, inner nodes included."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(node, Mapping):
        pairs = list(node.items())
    elif isinstance(node, list):
        pairs = list(enumerate(node))
    for key, value in pairs:
        yield f"{place}.{key}", str(key), value
        yield from _entries(value, f"{place}.{key}")


def _harmless(name: str, place: str, key: str, value: object) -> bool:
    if "${" in key or (isinstance(value, str) and "${" in value):  # would be resolved again, to something not seen here
        return False
    if name in ("job_logging", "hydra_logging"):
        if key == "()" or (key == "class" and value not in LOGGING_CLASSES):
            return False
        return not (isinstance(value, str) and re.match("[a-z]+://", value)) or value in STREAMS
    if key != "_target_":
        return True
    if name == "callbacks":
        return place.count(".") == 3 and value in CALLBACKS
    return place == f"hydra.{name}._target_" and isinstance(value, str) and value.startswith(PLUGINS)
