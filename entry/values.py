"""Keys of which each holds one number within bounds, or true or false: those that no other room looks at."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from datamodules.settings import is_number, typed
from entry.errors import RequestError


@dataclass(frozen=True)
class Kind:
    """What a key may hold.

    Args:
        fits: whether a value is one of these.
        told: how that is said after "must be".
    """

    fits: Callable[[object], bool]
    told: str


def number(legal: Callable[[float], bool], told: str) -> Kind:
    """A finite number for which `legal` holds."""
    return Kind(lambda value: is_number(value) and math.isfinite(value) and legal(value), told)


def or_null(kind: Kind) -> Kind:
    """A kind, or null."""
    return Kind(lambda value: value is None or kind.fits(value), f"{kind.told} or null")


SWITCH = Kind(lambda value: isinstance(value, bool), "true or false")
ABOVE_ZERO = number(lambda value: value > 0, "a number above 0")
FROM_ZERO = number(lambda value: value >= 0, "a number of 0 or more")

KINDS: Mapping[str, Kind] = {
    "optimizer.lr": ABOVE_ZERO,
    "trainer.gradient_clip": or_null(ABOVE_ZERO),
    "loss.auxiliary": FROM_ZERO,
    "loss.label_smoothing": number(lambda value: 0 <= value <= 1, "a number from 0 to 1"),
    "early_stopping.min_delta": FROM_ZERO,
    "trainer.channels_last": SWITCH,
    "trainer.deterministic": SWITCH,
    "trainer.sync_batchnorm": SWITCH,
    "trainer.find_unused_parameters": SWITCH,
    "trainer.progress": Kind(lambda value: isinstance(value, bool) or value == "auto", "auto, true or false"),
    "report.train_eval": SWITCH,
    "resume_with_changes": SWITCH,
    "logger.name": Kind(lambda value: value in ("csv", "tensorboard", "wandb"), "csv, tensorboard or wandb"),
    "model.partial": SWITCH,
    "model.weights": Kind(
        lambda value: isinstance(value, str) and value != "",
        "auto, none, imagenet, coco_voc or the path of a checkpoint",
    ),
}


def check_values(config: Mapping[str, Any]) -> None:
    """Raise RequestError for the first key that holds what it may not; one that a run of an earlier version lacks is passed over."""
    for key, kind in KINDS.items():
        *path, last = key.split(".")
        place: Any = config
        for step in path:
            place = place.get(step, {})
        if last in place and not kind.fits(place[last]):
            raise RequestError(f"{key}={typed(place[last])}: must be {kind.told}.")
