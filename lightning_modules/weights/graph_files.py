"""The tensors in files of graphs, ONNX's and torch.export's, by their names; the graphs themselves are not looked at."""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_modules.errors import WeightsError

CONFIG = "data/weights/model_weights_config.json"  # of torch.export's archive: which tensor is in which record
LARGEST_CONFIG = 64 * 2**20  # bytes
# torch.export's numbers of types, as in its schema; those that weights have.
TYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
         8: torch.float64, 12: torch.bool, 13: torch.bfloat16}  # fmt: skip


def is_program(path: Path) -> bool:
    """Whether a zip archive is one of torch.export."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/{CONFIG}") for name in archive.namelist())


def read_graph(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Raises WeightsError without the package onnx, and ValueError for a damaged file."""
    return _read_program(path) if zipfile.is_zipfile(path) else _read_onnx(path)


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """The initialisers of an ONNX file that are in the file itself."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise WeightsError(
            f"model.weights={path} needs the package onnx ({error}). Type: pip install '.[export]'"
        ) from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"not an ONNX file: {error}") from None
    inside = [each for each in model.graph.initializer if each.data_location != onnx.TensorProto.EXTERNAL]
    return {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in inside}


def _read_program(path: Path) -> dict[str, Tensor]:
    """The weights of an archive of torch.export; what is pickled in it is not read."""
    with zipfile.ZipFile(path) as archive:
        config = next(archive.getinfo(name) for name in archive.namelist() if name.endswith(f"/{CONFIG}"))
        if config.file_size > LARGEST_CONFIG:
            raise ValueError(f"its list of weights has {config.file_size} bytes")
        listed, folder = json.loads(archive.read(config))["config"], config.filename.rpartition("/")[0]
        return {
            name: _tensor(archive.read(f"{folder}/{facts['path_name']}"), facts["tensor_meta"])
            for name, facts in listed.items()
            if facts["use_pickle"] is False
        }


def _tensor(content: bytes, facts: Mapping[str, Any]) -> Tensor:
    """A tensor from its bytes, with the type, size and strides that are written beside them."""
    kind = TYPES[facts["dtype"]]
    size, stride = ([int(each["as_int"]) for each in facts[key]] for key in ("sizes", "strides"))
    if not content:
        return torch.zeros(size, dtype=kind) if math.prod(size) == 0 else torch.full(size, math.nan)
    return (
        torch.frombuffer(bytearray(content), dtype=kind)
        .as_strided(size, stride, int(facts["storage_offset"]["as_int"]))
        .clone()
    )
