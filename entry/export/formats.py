"""The file of each format."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from entry.errors import RequestError
from lightning_modules.networks.exportable import ExportedGraph
from lightning_modules.networks.libraries import UNFIT
from lightning_modules.networks.program_file import write_program
from lightning_modules.supervised import SupervisedModule
from settings.export import ExportKeys

OPSET = 20  # onnxruntime 1.17 and TensorRT 10 know it
INPUT = "images"
AXES = {0: "batch", 2: "height", 3: "width"}
EXAMPLES = 2  # images in the example that is traced: torch takes a single one for a constant


def write_file(
    path: Path, module: SupervisedModule, keys: ExportKeys, size: tuple[int, int], facts: Mapping[str, str]
) -> None:
    """Write the file of a format; `size` is (height, width) of the images, `facts` are kept in an ONNX file.

    Raises RequestError where the network cannot be exported so.
    """
    if keys.format == "safetensors":
        from safetensors.torch import save_file

        state = {name: each.detach().cpu().contiguous().clone() for name, each in module.network.state_dict().items()}
        save_file(state, path, metadata={"format": "pt"})
        return
    with _quiet():
        program = traced(module, keys, size)
        if keys.format == "torch_export":
            write_program(program, path)
        else:
            _write_onnx(path, program, keys, facts)


def traced(module: SupervisedModule, keys: ExportKeys, size: tuple[int, int]) -> ExportedProgram:
    """The program of a network with its normalisation. Raises RequestError where torch.export cannot make it for any size."""
    graph = ExportedGraph(
        module.network, _tensor(module.mean), _tensor(module.inverse_deviation), ids=keys.output == "ids"
    )
    fixed = keys.shape == "fixed"
    # Not a size at which a side is a multiple of the other, or of a network's stride: it would be taken for a rule.
    sides = size if fixed else tuple(side + side // 8 + extra for side, extra in zip(size, (1, 3), strict=True))
    example = torch.zeros(1 if fixed else EXAMPLES, 3, *sides, dtype=getattr(torch, keys.input))
    shapes = None if fixed else (dict.fromkeys(AXES, Dim.DYNAMIC),)
    try:
        return torch.export.export(graph.eval(), (example,), dynamic_shapes=shapes)
    except UNFIT as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        hint = "" if fixed else " For the size of its evaluation alone type shape=fixed."
        raise RequestError(f"format={keys.format}: torch.export cannot export this network: {reason}.{hint}") from None


def _write_onnx(path: Path, program: ExportedProgram, keys: ExportKeys, facts: Mapping[str, str]) -> None:
    import onnx
    from onnxscript import optimizer

    try:
        # Without torch's own optimisation, which merges BatchNorm into convolutions: each weight keeps its name.
        found = torch.onnx.export(program, (), dynamo=True, input_names=[INPUT], output_names=[keys.output], opset_version=OPSET,
                                  external_data=False, optimize=False, verbose=False)  # fmt: skip
    except UNFIT as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        raise RequestError(
            f"format=onnx: torch.onnx cannot export this network: {reason}. Type format=torch_export"
        ) from None
    assert found is not None
    optimizer.fold_constants(found.model)
    optimizer.remove_unused_nodes(found.model)
    model = found.model_proto
    _name_axes(model)
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))


def _name_axes(model: Any) -> None:
    """Name the axes of any length batch, height and width, in place of the tracing's names."""
    known: dict[str, str] = {}
    for axis, dimension in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if dimension.dim_param:
            known[dimension.dim_param] = AXES[axis]
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = known.get(dimension.dim_param, "")
    del model.graph.value_info[:]  # they name the same axes as before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _tensor(found: Any) -> Tensor:
    assert isinstance(found, Tensor)
    return found
