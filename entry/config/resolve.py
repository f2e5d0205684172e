"""From a composed Hydra configuration to checked settings."""

import copy
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.request import PROJECT, Request, unresolved
from settings.run import RunSettings, validated

CONF = PROJECT / "conf"
NO_MODEL = {"name": "predictions", "task": "segmentation", "weights": "none"}  # masks that are there already


def resolved(request: Request, *, with_model: bool = True) -> RunSettings:
    """The settings of a request, each path absolute.

    Args:
        request: what was typed.
        with_model: False where masks are evaluated that need no model.

    Raises:
        RequestError: a value is missing, cannot be resolved, or names what may not be built.
        SettingsError: with every key that holds what it may not.
    """
    config = copy.deepcopy(request.config)
    if not with_model:
        config.model = NO_MODEL
    _check_fit(config)
    settings = validated(RunSettings, _plain(config))
    check_targets(settings, request.allow)
    return settings


def _plain(config: DictConfig) -> Any:
    """Everything resolved, without the packages that this command line alone allows."""
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise RequestError(f"{missing[0]} is missing. Type it: {missing[0]}=…")
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise unresolved(error) from None
    assert isinstance(plain, dict)
    plain.pop("allow", None)
    return plain


def _check_fit(config: DictConfig) -> None:
    """Raise RequestError, naming the models that fit, where the dataset does not serve the model's task."""
    task, targets = config.model.task, config.data.get("targets", {})
    if task in targets:
        return
    models = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["task"]
        for path in sorted((CONF / "model").glob("*.yaml"))
    }
    fitting = ", ".join(name for name, its_task in models.items() if its_task in targets)
    raise RequestError(
        f"model={config.model.name} does {task}, but data={config.data.name} serves {' and '.join(targets)}. Models that fit: {fitting}"
    )
