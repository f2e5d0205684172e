"""``--help``: every key with its value and description, from the settings and the composed configuration."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from entry.cli.overrides import group_names, options_of, without_sweeps
from entry.request import CONF
from settings.base import as_typed
from settings.errors import keys_of
from settings.export import ExportKeys
from settings.run import AllowedPackages, LaunchKeys, RunSettings

HIDDEN = ("_target_", "_partial_", "targets", "by_task")  # keys that follow from others
USAGE = {
    "train": "Train a model: python train.py model=resnet18 aug=flip_rotate",
    "evaluate": "Evaluate a run: python evaluate.py run=RUN_FOLDER [split=val] [checkpoint=last]\n"
    "External weights: python evaluate.py model=… model.weights=… data=… data.root=…\n"
    "An ONNX file: python evaluate.py model.onnx=FILE model.label_space=… [model.output=ids] data=… data.root=…\n"
    "The best job of a sweep: python evaluate.py sweep=SWEEP_FOLDER\n"
    "Masks: python evaluate.py predictions=DIR predictions_label_space=… data=… data.root=…",
    "explore": "Explore a dataset: python explore.py data=idd data.root=DIR [task=classification] [aug=flip_rotate]\n"
    "Which labels may be wrong: python explore.py data=… predictions=DIR, or runs=[RUN_FOLDER,RUN_FOLDER] of a cross-validation",
    "compare": "Compare runs: python compare.py 'runs=[RUN_FOLDER,RUN_FOLDER]' [split=val] [require='miou>=0.68']\n"
    "The page of a sweep: python compare.py runs=SWEEP_FOLDER\nModels of other classes: python compare.py 'runs=[…]' over=common; without pictures: report.images=false",
    "export": "Take a model with you: python export.py run=RUN_FOLDER format=safetensors|onnx|torch_export",
    "predict": "Predict images: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER",
}
FORMS = """
Type a key as key=value, an option of a group as group=option; quote what a shell would change: 'data.image_size=[64,64]'.
-m tries several values: python train.py -m model=custom_cnn,resnet18 optimizer.lr=1e-3,3e-4
logger=[wandb,tensorboard] uses several loggers; ~logger, ~aug, ~scheduler and ~callbacks mean none. docs/SETTINGS.md has all forms.
--cfg job prints the composed configuration; --config-dir=FOLDER adds options of your own.
"""


def print_help(name: str, arguments: Sequence[str]) -> None:
    """Print the help of the command `name`, with the values that the other arguments of the command line give."""
    typed = get_args_parser().parse_args(list(arguments))
    overrides = without_sweeps(typed.overrides)
    if typed.config_dir:
        overrides.append(f'hydra.searchpath=["file://{Path(typed.config_dir).absolute()}"]')
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, overrides=overrides)
    screen = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140)
    chosen = groups() if "data" in config else {}
    screen.print(f"{USAGE[name]}\n{FORMS if chosen else ''}", markup=False)
    screen.print(_table((f"  {group}", ", ".join(options)) for group, options in chosen.items()))
    for group, rows in _sections(config).items():
        screen.print(f"\n{group}", markup=False)
        screen.print(_table(rows))


def groups() -> dict[str, list[str]]:
    """The options of each group of conf/, by the group's name."""
    return {group: options_of(group) for group in group_names()}


def _sections(config: DictConfig) -> dict[str, list[tuple[str, str]]]:
    """By group the keys of a configuration with their values, and their descriptions."""
    described = {
        key: str(field.description or "")
        for key, field in (*keys_of(AllowedPackages), *keys_of(LaunchKeys), *keys_of(ExportKeys), *keys_of(RunSettings))
    }
    sections: dict[str, list[tuple[str, str]]] = {}
    for key, value in sorted(composed_values(config), key=lambda leaf: list(described).index(leaf[0].split(".")[0])):
        group = key.split(".")[0] if "." in key else "keys of a request"
        sections.setdefault(group, []).append((f"  {key}={value}", described.get(key, "")))
    return sections


def composed_values(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted key of a composed configuration with its value as it is typed."""
    for name in config:
        key = f"{prefix}{name!s}"
        if name in HIDDEN or key.startswith("lightning_module"):
            continue
        try:
            value: Any = "???" if OmegaConf.is_missing(config, name) else config[name]
        except OmegaConfBaseException:  # it refers to a key that is missing
            value = "…"
        if isinstance(value, DictConfig) and value and name != "split":
            yield from composed_values(value, f"{key}.")
        else:
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            home = os.environ.get("HOME", "")
            text = as_typed(plain)
            yield key, text.replace(home, "~") if len(home) > 1 else text  # "/" in some containers


def _table(rows: "Iterator[tuple[str, str]] | list[tuple[str, str]]") -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=60, overflow="fold")
    table.add_column()
    for left, right in rows:
        table.add_row(Text(left), Text(right))
    return table
