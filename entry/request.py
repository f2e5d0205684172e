"""What a command line requests, and how this process was started."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.errors import RequestError
from settings.base import Group
from settings.run import AllowedPackages, RequestKeys, validated

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Request:
    """What a command line requests.

    Args:
        config: everything composed, interpolations unresolved.
        overrides: what was typed, without Hydra's own keys.
        folder: where the results go.
        folder_was_typed: whether `folder` was typed (hydra.run.dir=), or is the default name.
    """

    config: DictConfig
    overrides: tuple[str, ...]
    folder: Path
    folder_was_typed: bool

    @cached_property
    def keys(self) -> RequestKeys:
        """The keys beside a run's own configuration. Raises RequestError or SettingsError."""
        return validated(RequestKeys, self._plain(RequestKeys))

    @cached_property
    def allow(self) -> tuple[str, ...]:
        """Packages of the user's own that a ``_target_`` may name. Raises RequestError or SettingsError."""
        return tuple(validated(AllowedPackages, self._plain(AllowedPackages)).allow)

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


def external_kind(request: Request) -> str | None:
    """What evaluate.py is requested to evaluate that was not made here: predictions, weights, or None for a run.

    Raises RequestError where keys of the one and of the other are typed.
    """
    keys, typed = request.keys, request.typed_keys
    beside = next(
        (
            key
            for key in typed
            if key in ("predictions", "predictions_label_space", "predictions_void_ids", "crosswalk")
        ),
        None,
    )
    if keys.run is not None:
        if beside is not None:
            raise RequestError(f"{beside}= makes no sense with run=: a run has its own model. Leave one of them out.")
        return None
    if keys.predictions is not None:
        return "predictions"
    if keys.predictions_label_space is not None:
        raise RequestError("predictions is missing. Type the folder of the masks: predictions=DIR")
    trained = request.config.model.get("weights", "auto") not in (
        "auto",
        "none",
        "imagenet",
    )  # an experiment= may name them
    return "weights" if "model.weights" in typed or trained else None


def launched() -> bool:
    """Whether this process is one of several that an outer launcher, such as torchrun, has started."""
    return "RANK" in os.environ and world_size() > 1


def rank() -> int:
    """This process's number among them, 0 where it is alone."""
    return int(os.environ["RANK"]) if launched() else 0


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))
