"""``--help``: every key with its description and its value, from the settings and the composed configuration."""

import contextlib
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.request import PROJECT
from settings.base import Group, as_typed
from settings.run import AllowedPackages, RequestKeys, RunSettings

CONF = PROJECT / "conf"
HIDDEN = ("_target_", "targets", "by_task")  # keys that follow from others
USAGE = {
    "train": "Train a model: python train.py model=resnet18 aug=flip_rotate",
    "evaluate": "Evaluate a run: python evaluate.py run=RUN_FOLDER [split=val] [checkpoint=last]\n"
    "External weights: python evaluate.py model=… model.weights=… data=… data.root=…\n"
    "Masks: python evaluate.py predictions=DIR predictions_label_space=… data=… data.root=…",
    "predict": "Predict images: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER",
}


def help_requested(arguments: Sequence[str]) -> bool:
    """Whether ``--help`` or ``-h`` is among the arguments."""
    return any(argument in ("--help", "-h") for argument in arguments)


def print_help(name: str, arguments: Sequence[str]) -> None:
    """Print the help of a command, with the values that the other arguments give.

    Args:
        name: of the command and of its file in conf/.
        arguments: of the command line.
    """
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, overrides=overrides)
    print("\n".join(_lines(name, config)))


def _lines(name: str, config: DictConfig) -> Iterator[str]:
    yield USAGE[name]
    yield ""
    yield "Type any key as key=value, and an option of a group as group=option; quote what a shell would change: 'data.image_size=[64,64]'."
    yield "-m tries several values: python train.py -m model=custom_cnn,resnet18 optimizer.lr=1e-3,3e-4"
    yield "--cfg job prints the composed configuration; --config-dir=FOLDER adds options of your own."
    yield ""
    yield "Groups"
    for group, options in groups().items():
        yield f"  {group:<14}{', '.join(options)}"
    own = [key for key in (*AllowedPackages.model_fields, *RequestKeys.model_fields) if key in config]
    yield from _section("Request", AllowedPackages, config, "", own)
    yield from _keys(RequestKeys, config, "", own)
    yield from _keys(RunSettings, config, "", ["seed"])
    for key, field in RunSettings.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Group) and key != "lightning_module":
            yield from _section(str(annotation.__doc__).splitlines()[0], annotation, config, f"{key}.")
        elif key == "callbacks":
            yield from ("", f"`callbacks`: {field.description}.")


def groups() -> dict[str, list[str]]:
    """The options of each group of conf/, by the group's name."""
    folders = (folder for folder in sorted(CONF.iterdir()) if folder.is_dir() and folder.name != "common")
    return {folder.name: [path.stem for path in sorted(folder.glob("*.yaml"))] for folder in folders}


def _section(
    title: str, group: type[Group], config: DictConfig, prefix: str, only: Sequence[str] | None = None
) -> Iterator[str]:
    yield from ("", title)
    yield from _keys(group, config, prefix, only)


def _keys(group: type[Group], config: DictConfig, prefix: str, only: Sequence[str] | None = None) -> Iterator[str]:
    """A line or more for each key that the configuration has, those without a description of their own included."""
    described = {field.alias or name: str(field.description or "") for name, field in group.model_fields.items()}
    node: Any = OmegaConf.select(config, prefix.rstrip(".")) if prefix else config
    present = list(node) if prefix and OmegaConf.is_dict(node) else list(described)
    for name in present:
        hidden = name in HIDDEN or (only is not None and name not in only)
        if not hidden and (name in described or prefix):
            yield from _line(f"{prefix}{name}", described.get(name, ""), _value(config, f"{prefix}{name}"))


def _line(key: str, description: str, value: str) -> list[str]:
    width = max(60, min(shutil.get_terminal_size().columns, 160))
    left = f"  {key}={value}"
    indent = 44
    start = left if len(left) < indent - 1 else f"{left}\n"
    first = start.ljust(indent) if "\n" not in start else start + " " * indent
    return (
        textwrap.fill(description, width - indent)
        .replace("\n", "\n" + " " * indent)
        .join([first, ""])
        .rstrip()
        .split("\n")
    )


def _value(config: DictConfig, key: str) -> str:
    """A key's value as it is typed; an interpolation that needs others that are missing as it is written."""
    with contextlib.suppress(OmegaConfBaseException):
        value = OmegaConf.select(config, key)
        if OmegaConf.is_missing(*_parent(config, key)):
            return "???"
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        return (
            "(…)" if isinstance(plain, dict) and "_target_" in plain else as_typed(plain).replace(str(Path.home()), "~")
        )
    return "…"


def _parent(config: DictConfig, key: str) -> tuple[Any, str]:
    parent, _, name = key.rpartition(".")
    return (OmegaConf.select(config, parent) if parent else config), name
