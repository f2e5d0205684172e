"""Reading the tensors of an untrusted checkpoint: nothing in it is ever executed."""

import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lightning_modules.errors import WeightsError

# Keys under which training scripts save the weights beside other state.
NESTS = ("state_dict", "model", "model_state_dict")

# Raised by torch.load on damaged files and on other formats; a pickle of arbitrary bytes can fail in any of these ways.
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
              MemoryError, struct.error, pickle.UnpicklingError)  # fmt: skip


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU.

    Reads files of ``torch.save`` (a state dict, or one inside ``state_dict`` or ``model`` as Lightning and most
    training scripts save it) and ``.safetensors``. Files that need code to be run are refused unread. Raises WeightsError
    if there is no such file, or it is not a checkpoint.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise WeightsError(
            f"model.weights={path}: {what}; give auto, none, imagenet, coco_voc or the path of a checkpoint file"
        )
    content = read_checkpoint(path, f"model.weights={path}")
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(
            f"model.weights={path} holds no state dict; save one with torch.save(network.state_dict(), …)"
        )
    odd = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if odd:
        raise WeightsError(
            f"model.weights={path} is not a plain state dict: {', '.join(odd[:5])} is not a tensor with a name"
        )
    return dict(content)


def read_checkpoint(path: Path, typed: str, *, in_file: bool = False) -> object:
    """Return the plain data of a checkpoint file, its tensors on the CPU; nothing in it is executed.

    `typed` is how the user named the file, for messages. With `in_file` the file is mapped and each tensor read when it is
    used, which files from before torch 1.6 do not support. Raises WeightsError if it is not a checkpoint, or would have to
    run code to be read.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path, typed)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=in_file)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)|Trying to call reduce for unrecognized function (.+)", str(error))
        if code is None:
            raise WeightsError(_unreadable(path, typed, error)) from error
        raise WeightsError(
            f"{typed} holds more than tensors ({(code[1] or code[2]).strip()}) and would have to run code to be read, "
            "so it was not; save its state dict alone: torch.save(network.state_dict(), …)"
        ) from error
    except UNREADABLE as error:
        raise WeightsError(_unreadable(path, typed, error)) from error


def damage(path: Path) -> str | None:
    """Return what is damaged in a checkpoint of train.py, or None if it is whole.

    torch writes a zip archive, in which every record has a CRC-32; torch itself does not check them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            return f"the checksum of {broken} is wrong"
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # what lies between the records
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _read_safetensors(path: Path, typed: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(_unreadable(path, typed, error)) from error


def _unreadable(path: Path, typed: str, error: BaseException) -> str:
    if isinstance(error, PermissionError):
        return f"{typed} may not be read: permission denied"
    return f"{typed} cannot be read as a checkpoint: it is damaged, cut short or something else ({path.stat().st_size} bytes)"
