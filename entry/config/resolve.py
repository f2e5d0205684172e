"""From a composed Hydra configuration to checked settings."""

import copy
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic_core import PydanticUndefined

from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.request import CONF, Request, unresolved
from label_spaces import catalogue
from label_spaces.space import LabelSpaceError
from settings.base import OF_DATA, Group, Target
from settings.run import AUTO, AllowedPackages, LaunchKeys, RunSettings, validated

# Keys whose values, where they are paths or names of label spaces, must exist.
PATHS = ("data.root", "data.split", "data.labels", "data.label_space", "model.weights", "model.onnx", "model.label_space", "predictions",
         "predictions_label_space", "crosswalk", "checkpointing.mirror")  # fmt: skip
NO_MODEL = {"name": "predictions", "weights": "none"}  # masks that are there already, or data that is only explored


def resolved(request: Request, *, task: str | None = None) -> RunSettings:
    """The settings of a request, each path absolute. `task` is that of data where no model is needed.

    Raises RequestError where a value is missing, cannot be resolved, or names what may not be built, and SettingsError with
    every key that holds what it may not.
    """
    config = copy.deepcopy(request.config)
    if task is not None:
        config.model = {**NO_MODEL, "task": task}
    _check_fit(config)
    settings = validated(RunSettings, _plain(config))
    if settings.data.folds is not None and "data.split" in request.typed_keys and isinstance(settings.data.split, str):
        raise RequestError(settings.data.two_splits())
    check_paths(settings, request.typed_keys)
    check_targets(settings, request.allow)  # last, as it imports torch
    return settings


def default_of(name: str) -> Any:
    """The plain value that a group, or a key beside the groups, has where ``~NAME`` was typed; None where it needs one."""
    default = RunSettings.model_fields[name].get_default()
    if isinstance(default, Group):
        return default.model_dump(mode="json", by_alias=True, exclude_unset=isinstance(default, Target))
    return None if default is PydanticUndefined else default


def check_paths(settings: RunSettings, typed: Sequence[str]) -> None:
    """Raise RequestError where typed keys name files, folders or label spaces that do not exist."""
    absent: list[tuple[str, Path]] = []
    for key in PATHS:
        value: Any = attrgetter(key)(settings)
        if value is None or not any(key == each or key.startswith(f"{each}.") for each in typed):
            continue
        if (
            key.endswith("label_space")
            and (value != OF_DATA or key == "data.label_space")
            and not Path(value).is_absolute()
        ):
            try:
                catalogue.load(value)
            except LabelSpaceError as error:
                raise RequestError(f"{key}={value}: {error}") from None
        paths = [Path(each) for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
        absent += [(key, path) for path in paths if path.is_absolute() and not path.exists()]
    if absent and (absent[0][0] != "data.root" or _is_given_root(settings.data.name)):
        from entry.config.paths import missing

        raise RequestError("\n".join(missing(key, path) for key, path in absent))


def _is_given_root(name: str) -> bool:
    """Whether a shipped dataset has to be given its folder; the embedded one makes its own."""
    file = CONF / "data" / f"{name}.yaml"
    return file.exists() and yaml.safe_load(file.read_text(encoding="utf-8"))["root"] == MISSING


def _plain(config: DictConfig) -> Any:
    """Everything resolved, without the packages that this command line alone allows, and without how a sweep is run."""
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise RequestError(f"{missing[0]} is missing. Type it: {missing[0]}=…")
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise unresolved(error) from None
    assert isinstance(plain, dict)
    for name in (*AllowedPackages.model_fields, *LaunchKeys.model_fields):
        plain.pop(name, None)
    if plain.get("resume") == AUTO:  # how this start of it was typed is no setting of the run
        plain["resume"] = None
    fields = RunSettings.model_fields.items()
    removed = [name for name, field in fields if name not in plain and isinstance(field.default, Group)]
    return {**plain, **{name: default_of(name) for name in removed}}


def _check_fit(config: DictConfig) -> None:
    """Raise RequestError, naming the models that fit, where the dataset does not serve the model's task."""
    task, targets = config.model.get("task"), config.data.get("targets", {})
    if not task or not OmegaConf.is_dict(targets) or task in targets:  # what else is wrong with them is found later
        return
    files = sorted((CONF / "model").glob("*.yaml"))
    models = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["task"] for path in files}
    fitting = ", ".join(name for name, its_task in models.items() if its_task in targets)
    raise RequestError(
        f"model={config.model.name} does {task}, but data={config.data.name} serves {' and '.join(targets)}. Models that fit: {fitting}"
    )
