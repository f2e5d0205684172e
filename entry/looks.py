"""What `evaluation` says: how often, at which scales and in which windows images are looked at when they are evaluated."""

import math
from collections.abc import Mapping
from typing import Any

from entry.errors import RequestError

PLAIN: Mapping[str, Any] = {"flip": False, "scales": [1.0], "window": None, "stride": None}
OVERLAP = 3  # without a stride, neighbouring windows share a third


def looks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `evaluation`, checked, the stride found; a run from before them is evaluated plainly. Raises RequestError."""
    given = config.get("evaluation") or {}
    unknown = sorted(given.keys() - PLAIN.keys())
    if unknown:
        raise RequestError(f"There is no key 'evaluation.{unknown[0]}'. All keys: python evaluate.py --cfg job")
    keys = {**PLAIN, **given}
    if not isinstance(keys["flip"], bool):
        raise RequestError(f"evaluation.flip={keys['flip']}: must be true or false.")
    scales = keys["scales"]
    if not isinstance(scales, list) or not scales or not all(_is_scale(scale) for scale in scales):
        raise RequestError(f"evaluation.scales={scales}: must be a list of numbers above 0, such as [0.75,1.0,1.25].")
    for key in ("window", "stride"):
        if keys[key] is not None and not _is_size(keys[key]):
            raise RequestError(f"evaluation.{key}={keys[key]}: must be [height,width] in pixels or null.")
    window, stride = keys["window"], keys["stride"]
    if window is None and stride is not None:
        raise RequestError(f"evaluation.stride={stride} goes with evaluation.window=[height,width].")
    if window is not None:
        keys["stride"] = stride = stride or [side - side // OVERLAP for side in window]
        if any(step > side for step, side in zip(stride, window, strict=True)):
            raise RequestError(
                f"evaluation.stride={stride} is larger than evaluation.window={window}: pixels between windows would be left out."
            )
    if config["model"]["task"] != "segmentation" and (scales != [1.0] or window is not None):
        what = f"scales={scales}" if window is None else f"window={window}"
        raise RequestError(
            f"evaluation.{what} goes with segmentation, and model={config['model']['name']} says one class for a whole "
            "image: only evaluation.flip=true does."
        )
    return keys


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_size(value: object) -> bool:
    sides = value if isinstance(value, list) else ()
    return len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
