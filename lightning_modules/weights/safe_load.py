"""Reading the tensors of an untrusted checkpoint: nothing in it is ever executed."""

import contextlib
import itertools
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_modules.errors import WeightsError
from lightning_modules.weights.graph_files import is_program, read_graph

DEEPEST = 4  # state dicts lie under fewer keys; a dict may hold itself
MOST_DICTS = 10_000  # that are looked through: one dict under many keys of others would be found without end
MOST_NAMED = 5
# Bytes that the files in a zip archive may have together, and beyond that how many times the archive's own: weights hardly shrink.
EXPANDED, EXPANSION = 2**26, 100
HEAD = 16  # bytes that tell safetensors and zip archives
SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".npz", ".onnx", ".pt2")

# Raised by torch.load on damaged files and on other formats; a pickle of arbitrary bytes can fail in any of these ways.
DAMAGED = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
           MemoryError, NotImplementedError, struct.error, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_state_dicts(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return each state dict in a checkpoint by the dotted key under which it lies, empty for the file itself.

    Reads files of ``torch.save``, as Lightning and most training scripts save them, ``.safetensors`` and ``.npz``. A
    checkpoint of Lightning has one, its ``state_dict``. Files that need code to be run are refused unread. Raises
    WeightsError if there is no such file, or it is no checkpoint or one without weights.
    """
    typed = f"model.weights={path}"
    if not path.is_file():
        raise WeightsError(_no_file(path, typed))
    content = read_checkpoint(path, typed)
    if isinstance(content, Mapping) and "pytorch-lightning_version" in content and "state_dict" in content:
        content = {"state_dict": content["state_dict"]}  # what is beside it are states of callbacks
    seen = itertools.count(1)
    found = dict(_state_dicts(content, "", DEEPEST, seen))
    if next(seen) > MOST_DICTS:
        raise WeightsError(f"{typed} holds more than {MOST_DICTS} dicts within dicts. Give a file of weights alone")
    if not found:
        raise WeightsError(
            f"{typed} holds no weights: it is {_content(content)}. Give a file of torch.save(network.state_dict(), …)"
        )
    return found


def _state_dicts(
    content: object, place: str, depth: int, seen: Iterator[int]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The mappings from names to tensors within plain data, with their dotted keys; an optimiser's state has none.

    `seen` counts the mappings that were looked at: none after MOST_DICTS.
    """
    if not isinstance(content, Mapping) or next(seen) > MOST_DICTS or not all(isinstance(key, str) for key in content):
        return
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    if not inner and any(isinstance(value, Tensor) for value in content.values()):
        yield place, dict(content)
    for key, value in inner.items() if depth and "param_groups" not in content else ():
        yield from _state_dicts(value, f"{place}.{key}".lstrip("."), depth - 1, seen)


def _content(content: object) -> str:
    """What plain data without a state dict is."""
    if isinstance(content, Mapping):
        inner = [key for each in content.values() if isinstance(each, Mapping) for key in each]
        what = "an optimiser's state ({})" if "param_groups" in (*content, *inner) else "a dict with {}"
        return what.format(_named(content)) if content else "an empty dict"
    if isinstance(content, Tensor):
        return f"a single tensor without a name ({'×'.join(map(str, content.shape)) or 'one number'})"
    items = f" of {len(content)} items without names" if isinstance(content, Sized) else ""
    return f"a {type(content).__name__}{items}"


def _named(content: Mapping[Any, object]) -> str:
    shown = [f"{key} ({type(value).__name__})" for key, value in content.items()][:MOST_NAMED]
    return ", ".join(shown) + (f" and {len(content) - MOST_NAMED} more" if len(content) > MOST_NAMED else "")


def _no_file(path: Path, typed: str) -> str:
    give = "give auto, none, imagenet, coco_voc or"
    if not path.is_dir():
        return f"{typed}: no such file; {give} the path of a checkpoint file"
    files = [path / "checkpoints/best.ckpt", *sorted(path.iterdir())]
    having = [str(each) for each in files if each.suffix in SUFFIXES and each.is_file()][:MOST_NAMED]
    inside = f"one of the files in it: {', '.join(having)}" if having else "the path of a checkpoint file"
    return f"{typed}: is a folder; {give} {inside}"


def read_checkpoint(path: Path, typed: str, *, in_file: bool = False) -> object:
    """Return the plain data of a checkpoint file, its tensors on the CPU; nothing in it is executed.

    `typed` is how the user named the file, for messages. With `in_file` the file is mapped and each tensor read when it is
    used, which files from before torch 1.6 do not support. Raises WeightsError if it is not a checkpoint, or would have to
    run code to be read; the message has what the file is instead.
    """
    try:
        more = _expands(path)
    except DAMAGED:
        more = ""  # no zip archive, or a damaged one, which is refused below
    if more:
        raise WeightsError(f"{typed} is not read: {more}")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        # The length of its JSON, and the JSON; by its content, as safetensors are also called .bin and .pth.
        if head[8:10] in (b'{"', b"{ ") or path.suffix == ".safetensors":
            return _read_safetensors(path)
        if path.suffix.lower() == ".onnx" or (head.startswith(b"PK") and is_program(path)):
            return read_graph(path)
        if head.startswith(b"PK") and (arrays := _read_npz(path)):
            return arrays
        with warnings.catch_warnings(action="ignore"):  # about files that are refused with a message of our own
            return torch.load(path, map_location="cpu", weights_only=True, mmap=in_file)
    except DAMAGED as error:
        raise WeightsError(_refusal(path, typed, error)) from error


def damage(path: Path) -> str | None:
    """Return what is damaged in a checkpoint of train.py, or None if it is whole.

    torch writes a zip archive, in which every record has a CRC-32; torch itself does not check them.
    """
    try:
        if more := _expands(path):
            return more
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            return f"the checksum of {broken} is wrong"
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # what lies between the records
    except DAMAGED as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _expands(path: Path) -> str:
    """Why a zip archive would need far more memory than it has bytes; empty where it would not. Raises what `DAMAGED` has."""
    with zipfile.ZipFile(path) as archive:
        expanded = sum(each.file_size for each in archive.infolist())
    size = path.stat().st_size
    most = max(EXPANDED, EXPANSION * size)
    return f"its {size} bytes would expand to {expanded}, as those of no weights do" if expanded > most else ""


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_npz(path: Path) -> dict[str, Tensor] | None:
    """The arrays of numpy's archive by name; None for another one. Raises ValueError where they hold objects."""
    with zipfile.ZipFile(path) as archive:
        if not all(name.endswith(".npy") for name in archive.namelist()):
            return None
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _refusal(path: Path, typed: str, error: BaseException) -> str:
    """Why a file is not read, and what to do."""
    from lightning_modules.weights import formats

    if isinstance(error, PermissionError):
        return f"{typed} may not be read: permission denied"
    what, advice, code = "", "", None
    with contextlib.suppress(*DAMAGED):
        what, advice = formats.describe(path)
        code = None if what else formats.needs_code(path)
    if code is not None:
        return (
            f"{typed} {code[0]} and would have to run code to be read, so it was not; where you trust it, save its weights alone: "
            f"{code[1]}"
        )
    what = what or "damaged, cut short or something else"
    return f"{typed} cannot be read as a checkpoint: it is {what} ({path.stat().st_size} bytes). {advice or 'Copy or download it again'}"
