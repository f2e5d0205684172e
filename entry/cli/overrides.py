"""What is typed, checked against Hydra's grammar and the groups of conf/ before Hydra composes anything of it.

Three things are refused whatever they are: ``--experimental-rerun`` unpickles; ``--config-path`` and ``--config-name``
replace the command's own configuration; `hydra.searchpath` takes ``pkg://`` and imports it. ``--config-dir`` remains.

Hydra lets several options stand in one group and merges their keys. Here one option belongs in a group, except where
several make sense: loggers, callbacks, and experiments, of which later ones override earlier ones.
"""

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf

from entry.config.paths import as_override
from entry.request import CONF
from run_folder import is_run
from settings.base import as_typed
from settings.export import ExportKeys
from settings.run import LaunchKeys, RequestKeys, RunSettings

COMMANDS = ("train", "evaluate", "predict", "explore", "compare", "export")
SEVERAL = ("logger", "callbacks", "experiment")  # groups of which several options may be chosen
# Keys that a path which is no run may be meant for.
OF_PATHS = {"train": "data.root", "explore": "data.root", "predict": "source", "compare": "runs"}
OF_RUNS = {"train": "resume", "compare": "runs"}  # keys that a run may be meant for; run otherwise
MODES = ("run", "multirun", "cfg", "info", "shell_completion")
PLACEHOLDER = re.compile(r"\{\w+\}")  # of a pattern of paths, which Hydra would read as the beginning of a dictionary


def with_quotes(argument: str) -> str:
    """Return an override with Hydra's quotes around values that hold placeholders, such as ``{split}/{name}.png``, and around conditions."""
    key, equals, value = argument.partition("=")
    if key == "require" and value[:1] not in ("'", '"', ""):
        return f'{key}="' + value.replace('"', r"\"") + '"'
    if not PLACEHOLDER.search(value) or "${" in value or any(mark in value for mark in "\"'"):
        return argument
    parts = value[1:-1].split(",") if value[0] == "[" and value[-1] == "]" else value.split(",")
    quoted = ",".join(f'"{part}"' if PLACEHOLDER.search(part) else part for part in parts)
    return f"{key}{equals}{f'[{quoted}]' if value[0] == '[' else quoted}"


def problems(arguments: Sequence[str], command: str) -> list[str]:
    """A sentence for each argument of a command line, which Hydra's parser can parse, that makes no sense, with what to type."""
    typed, rest = get_args_parser().parse_known_args(list(arguments))
    if (refused := _refusal(typed, rest, command)) is not None:
        return [refused]
    if typed.shell_completion:
        return []
    check = _Checks(typed, command)
    return [*_unread(typed.config_dir), *(sentence for text in typed.overrides for sentence in check.override(text))]


def _unread(folder: str | None) -> list[str]:
    """A sentence for each option of the user's folder that has the name of one in conf/, which Hydra reads in its place."""
    own = sorted(Path(folder).glob("*/*.yaml")) if folder else []
    return [
        f"{path}: {path.parent.name}={path.stem} is an option of idd-lightning's own, which is read in place of yours. Give the file another name."
        for path in own
        if (CONF / path.parent.name / path.name).exists() and not path.samefile(CONF / path.parent.name / path.name)
    ]


def _refusal(typed: argparse.Namespace, rest: Sequence[str], command: str) -> str | None:
    """Why a command line is refused as a whole, or None; Hydra's own parser has read it, abbreviations included."""
    own = "Add options of your own with --config-dir=FOLDER."
    imports = [each for each in (*typed.overrides, *rest) if re.match(r"[+~]*hydra\.searchpath\b", each)]
    modes = [f"--{mode.replace('_', '-')}" for mode in MODES if getattr(typed, mode) not in (None, False)]
    subcommands = "(install|uninstall|query)=" if "COMP_LINE" in os.environ else "(un)?install="
    completes = re.match(subcommands, " ".join(typed.overrides)) is not None
    instead = "is not allowed: each command has its own configuration."
    sentences = {
        "--experimental-rerun is not allowed: it would run whatever the file holds.": typed.experimental_rerun,
        "--resolve goes with --cfg: python train.py --cfg job --resolve.": typed.resolve
        and not (typed.cfg or typed.help),
        f"--config-path={typed.config_path} {instead} {own}": typed.config_path is not None,
        f"--config-name={typed.config_name} {instead} {own}": typed.config_name is not None,
        f"{''.join(imports[:1])} is not allowed: it can import packages. {own}": imports,
        f"{' and '.join(modes)} exclude each other. Type one of them.": len(modes) > 1,
        f"--package goes with --cfg: python {command}.py --cfg job --package {typed.package}.": typed.package
        and not typed.cfg,
        "--shell-completion needs install=SHELL: "
        f'eval "$(python {command}.py --shell-completion install=bash)"': typed.shell_completion and not completes,
    }
    return next((sentence for sentence, applies in sentences.items() if applies), None)


def group_names() -> list[str]:
    """The groups of conf/ of which an option is chosen."""
    return sorted({path.parent.name for path in CONF.glob("*/*.yaml")} - {"common", "hydra"})


def options_of(group: str, *folders: Path) -> list[str]:
    """The options of a group of conf/, and of other folders of groups."""
    return sorted({path.stem for folder in (CONF, *folders) for path in (folder / group).glob("*.yaml")})


class _Checks:
    """The checks of one command line."""

    def __init__(self, typed: argparse.Namespace, command: str) -> None:
        self.command = command
        self.sweeps = typed.multirun or "hydra.mode=MULTIRUN" in typed.overrides
        self.basic = not any(re.match("hydra/sweeper=(?!basic|grid)", text) for text in typed.overrides)
        self.folders = [Path(typed.config_dir)] if typed.config_dir else []
        self.groups = group_names()
        self.parser = OverridesParser.create()

    def override(self, text: str) -> Iterator[str]:
        """A sentence for each problem of an override."""
        try:
            override = self.parser.parse_override(text)
        except (HydraException, AssertionError) as error:
            yield _unreadable(text, str(error), self.command)
            return
        key = override.key_or_group
        if not key:
            yield f"{text}: there is no key before the =. Settings are typed key=value."
        elif override.is_sweep_override() and not override.is_delete():
            yield from self._sweep(text, override)
        elif key.partition(".")[0] in self.groups and self.command == "compare":
            yield f"{text}: {key} is no key of compare.py, which reads runs as they are. Leave it out."
        elif key in self.groups:
            yield from self._group(text, override)
        elif key in (*RequestKeys.model_fields, *ExportKeys.model_fields):
            yield from self._request_key(text, override)
        else:
            yield from self._other(text, override)

    def _other(self, text: str, override: Override) -> Iterator[str]:
        """Keys of Hydra's own, and of the jobs of a sweep."""
        key = override.key_or_group
        if key in LaunchKeys.model_fields and not self.sweeps:
            yield f"{text}: {key} is for the jobs of a sweep. Type -m with it, or leave it out."
        elif key == "hydra.output_subdir" and override.value() is not None:
            yield f"{text}: Hydra writes no files of its own here; a run has its config.yaml and overrides.txt. Leave it out."
        elif key == "hydra.sweep.subdir":
            yield f"{text}: the run folders of a sweep have the numbers of its jobs as names. Leave it out."
        elif key in ("hydra.run.dir", "hydra.sweep.dir") and override.value() == "":
            yield f"{text}: the path is empty. Type {key}=DIR."

    def _group(self, text: str, override: Override) -> Iterator[str]:
        group, value = override.key_or_group, override.value()
        options = options_of(group, *self.folders)
        choose = f"one of {', '.join(options)}"
        needed = group in RunSettings.model_fields and RunSettings.model_fields[group].is_required()
        if override.package is not None:
            yield f"{text}: an option of {group} stands in {group} and nowhere else. Type {group}=OPTION, {choose}."
        elif override.is_delete():
            if needed:
                yield f"{text}: a run needs {group}. Leave this out for the default, or type {group}=OPTION, {choose}."
        elif override.is_add() or override.is_force_add():
            both = f", or {group}=[{','.join(options[:2])}] for several" if group in SEVERAL else ""
            yield f"{text}: an option of {group} is chosen already. Type {group}=OPTION without +, {choose}{both}."
        elif isinstance(value, list):
            yield from self._list(text, group, value, options)
        elif isinstance(value, str):
            yield from self._unknown(group, [value], options)
        elif value is None or isinstance(value, bool):
            none = "" if needed else f" For none type ~{group}."
            yield f"{text}: {group} cannot be {as_typed(value)}; give {choose}.{none}"
        elif isinstance(value, int | float):
            yield f"{text}: {group} cannot be a number; give {choose}."

    def _list(self, text: str, group: str, values: Sequence[Any], options: Sequence[str]) -> Iterator[str]:
        choose = f"Type {group}=OPTION, one of {', '.join(options)}."
        if not values:
            yield f"{text}: the list is empty. {choose}{f' For none type ~{group}.' if group in SEVERAL else ''}"
        elif not all(isinstance(value, str) for value in values):
            yield f"{text}: a list of {group} holds names of options only. {choose}"
        else:
            yield from self._unknown(group, values, options)
            if len({*values}) > 1 and group not in SEVERAL:
                yield _one_option(group, values)

    def _unknown(self, group: str, names: Sequence[str], options: Sequence[str]) -> Iterator[str]:
        for name in names:  # others are resolved later, or lie deeper in a folder of one's own
            if name not in options and "${" not in name and "/" not in name:
                yield f"{group}={name}: there is no such option. Choose one of: {', '.join(options)}"

    def _sweep(self, text: str, override: Override) -> Iterator[str]:
        key = override.key_or_group
        value: object = override.value()
        if override.is_interval_sweep() and self.basic:
            yield (
                f"{text}: an interval needs a sweeper that searches: -m hydra/sweeper=optuna n_trials=40. The default one tries each of "
                f"some values: -m {key}=A,B,C, or -m '{key}=range(START,STOP,STEP)'."
            )
        elif not self.sweeps:
            hint = f" All of them at once: {key}=[A,B]." if key in SEVERAL else ""
            if not hint and isinstance(value, ChoiceSweep) and value.simple_form:
                whole = f'{key}="' + text.partition("=")[2] + '"'
                hint = f" A list is typed {key}=[A,B], a text with a comma {shlex.quote(whole)}."
            yield f"{text}: several values are tried with -m: python {self.command}.py -m {shlex.quote(text)}.{hint}"
        elif isinstance(value, Glob):
            options = options_of(key, *self.folders) if key in self.groups else []
            if not value.filter(options):
                having = f"matches no option; there are {', '.join(options)}"
                yield f"{text}: {having if options else 'glob is for groups only'}."
        elif override.is_range_sweep() and next(iter(override.sweep_iterator()), None) is None:
            yield f"{text}: the range has no values."

    def _request_key(self, text: str, override: Override) -> Iterator[str]:
        key = override.key_or_group
        files = {name: (CONF / f"{name}.yaml").read_text(encoding="utf-8") for name in COMMANDS}
        owners = [f"{name}.py" for name, content in files.items() if key in yaml.safe_load(content)]
        if f"{self.command}.py" not in owners and owners:
            instead = {"run": "resume", "resume": "run"}.get(key)
            hint = f"Type {instead}={text.partition('=')[2]}." if instead else "Leave it out."
            yield f"{text}: {key} is a key of {' and '.join(filter(None, (', '.join(owners[:-1]), owners[-1])))}, not of {self.command}.py. {hint}"


def _unreadable(text: str, reason: str, command: str) -> str:
    """The sentence for an override that does not follow Hydra's grammar."""
    key, found, value = text.partition("=")
    if not found and Path(text).exists():
        kind = (OF_RUNS if is_run(Path(text)) else OF_PATHS).get(command, "run")
        return f"{text} is a path without a key. Type {as_override(kind, text)}"
    if not found:
        return f"The command line cannot be read: {text}. Settings are typed key=value, without spaces around the =."
    function = re.search(r"while evaluating '(.*)':(.*)", reason, re.DOTALL)
    if function:
        why = " ".join(line for line in function[2].split("\n") if not line.startswith("See ")).strip()
        return f"The command line cannot be read: {text}: {why or f'{function[1]} cannot be evaluated'}"
    if any(value.count(left) != value.count(right) for left, right in ("[]", "{}", "()")) and "=" not in value:
        return f"The command line cannot be read: {text}: its brackets do not match. A value with spaces is quoted for the shell: '{key}=[1, 2]'."
    escaped = value.strip("\"'").replace('"', r"\"")
    quoted = f'{key.strip()}="{escaped}"'
    return (
        f"The command line cannot be read: {text}. Values with spaces, letters beyond a to z or any of ~ = ( ) , {{ }} [ ] need quotes "
        f"of their own: {shlex.quote(quoted)}"
    )


def _one_option(group: str, names: Sequence[str]) -> str:
    return (
        f"{group}=[{','.join(names)}]: one option belongs here; the keys of several would be mixed. Type one of them, "
        f"or try each with -m {group}={','.join(names)}"
    )


def combine(config: DictConfig, defaults: Sequence[ResultDefault], files: Any) -> None:
    """Let several options of a group stand beside each other in what Hydra has merged of the files `defaults`, where they can.

    `logger.name` becomes a list where several loggers are chosen; `files` is Hydra's repository. Raises
    ConfigCompositionException for several options of a group that holds one, also where a file of the user's chose them.
    """
    chosen: dict[str, list[ResultDefault]] = {}
    for default in defaults:
        group = _group_of(default.config_path)
        if group == default.package and group != _group_of(default.parent):  # and is no base of an option
            chosen.setdefault(group, []).append(default)
    for group, options in chosen.items():
        names = list(dict.fromkeys(str(option.config_path).partition("/")[2] for option in options))
        if len(names) > 1 and group not in SEVERAL and (CONF / group).is_dir():
            raise ConfigCompositionException(_one_option(group, names))
    kinds = [_logger(str(option.config_path), defaults, files) for option in chosen.get("logger", ())]
    if len({*kinds}) > 1:
        config.logger.name = list(dict.fromkeys(kinds))


def _logger(path: str, defaults: Sequence[ResultDefault], files: Any) -> str | None:
    """`logger.name` of an option, which may have it from one it is based on."""
    own = OmegaConf.select(files.load_config(path).config, "name")
    bases = [str(default.config_path) for default in defaults if default.parent == path and default.config_path != path]
    return own or next((name for base in bases if (name := _logger(base, defaults, files))), None)


def _group_of(path: str | None) -> str:
    return (path or "").rpartition("/")[0].partition("/")[0]


def without_sweeps(overrides: Sequence[str]) -> list[str]:
    """The overrides that give one value each. Raises HydraException where one cannot be read."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [override.input_line or "" for override in parsed if not override.is_sweep_override()]
