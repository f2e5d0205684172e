"""Why an object is not built from its settings: one sentence with the key, the object and what it has instead."""

import inspect
import re
from collections.abc import Collection

from hydra.errors import InstantiationException

from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry.errors import RequestError
from lightning_modules.errors import NetworkError


def check_options(make: type[ImageDataModule], options: Collection[str]) -> None:
    """Raise RequestError for a key of `data.options` that a data module of the user's own has no parameter for."""
    bases = {*inspect.signature(ImageDataModule).parameters, *inspect.signature(SegmentationDataModule).parameters}
    own = (inspect.signature(each).parameters for each in make.__mro__ if "__init__" in vars(each))
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [name for parameters in own for name in parameters if parameters[name].kind in kinds and name not in bases]
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise no_such_setting(f"data.options.{unknown}", make.__name__, known)


def no_such_setting(key: str, called: str, having: Collection[str]) -> RequestError:
    """The error for a key that a class or function has no parameter for; it names those that can be typed."""
    return RequestError(f"{key}: {called} has no such setting. Those it has: {', '.join(having) or 'none at all'}.")


def refusal(error: InstantiationException, key: str, arguments: Collection[str]) -> RequestError | None:
    """What the target itself, or one inside it, did not accept; None for a bug."""
    if isinstance(error.__cause__, NetworkError):
        return RequestError(str(error.__cause__))
    reason, named = error.__cause__, re.search(r"target '(?:\w+\.)*(\w+)'", str(error))
    if named is None or not isinstance(reason, TypeError | ValueError | LookupError):
        return None
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(reason))
    if unknown and unknown[1] in arguments:
        return RequestError(f"{key}.{unknown[1]}: {named[1]} has no such setting.")
    lines = [line.strip() for line in str(reason).splitlines() if "For further information" not in line]
    return RequestError(f"{key}: {named[1]} does not take these settings: {' '.join(lines)}.")
