"""Networks that are a file: ONNX, computed by onnxruntime, or a program of torch.export. Both compute on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.errors import NetworkError

NOT_PREDICTED = -1e4  # the logit of other classes than a predicted index: their probability is exactly 0 in float32
INSTALL = "pip install '.[export]'"
DTYPES = {"tensor(uint8)": torch.uint8, "tensor(float)": torch.float32, "tensor(float16)": torch.float16,
          "tensor(double)": torch.float64}  # fmt: skip


def open_graph(path: Path, num_classes: int, output: Literal["logits", "ids"]) -> "Graph":
    """Return the graph of an export: images (B, 3, H, W) of 0–255 to logits, its normalisation inside. Raises NetworkError."""
    if path.suffix == ".onnx":
        return OnnxGraph(num_classes, str(path), output)
    return ProgramGraph(num_classes, str(path), output)


class Graph(nn.Module):
    """What both kinds share: images (B, 3, H, W) in the graph's own type, and its output as logits (B, classes[, H, W]).

    Logits of a segmenter that are smaller than the images are resized bilinearly, indices to the nearest. Class indices, with `output`
    ids, become logits in which only the predicted class is possible. Raises NetworkError where the output fits no `num_classes`.
    """

    def __init__(self, num_classes: int, file: str, output: Literal["logits", "ids"] = "logits") -> None:
        super().__init__()
        self.num_classes, self.file, self.output = num_classes, file, output
        self.dtype, self.raw = torch.float32, True

    def compute(self, images: Tensor) -> Tensor:
        """Map a batch on the CPU, in the graph's type, to what it predicts."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits in float32, on the device of the images."""
        batch = images.detach().cpu()
        with torch.autocast("cpu", enabled=False):
            batch = batch.round().clamp(0, 255).to(self.dtype) if self.dtype == torch.uint8 else batch.to(self.dtype)
            found = self.compute(batch.contiguous())
            size = images.shape[-2:]
            logits = self._from_ids(found, size) if self.output == "ids" else self._from_logits(found, size)
        return logits.to(images.device)

    def _from_logits(self, found: Tensor, size: torch.Size) -> Tensor:
        if not found.is_floating_point():
            raise NetworkError(f"{self.file} predicts {_shape(found)} whole numbers, no logits. Type model.output=ids")
        channels = next((axis for axis in (1, found.ndim - 1) if found.ndim in (2, 4) and found.shape[axis] == self.num_classes), None)  # fmt: skip
        if channels is None:
            raise NetworkError(
                f"{self.file} predicts {_shape(found)} logits, and the label space has {self.num_classes} classes: one axis, the second "
                "or the last, needs as many. Name the classes that it predicts, in their order: model.label_space=NAME"
            )
        logits = found.movedim(channels, 1).float()
        if logits.ndim == 2 or logits.shape[-2:] == size:
            return logits
        return functional.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)

    def _from_ids(self, found: Tensor, size: torch.Size) -> Tensor:
        ids = next((found.squeeze(axis) for axis in (1, -1) if found.ndim == 4 and found.shape[axis] == 1), found)
        if ids.ndim != 3:
            raise NetworkError(
                f"{self.file} predicts {_shape(found)} numbers, no class for each pixel. Type model.output=logits"
            )
        if ids.shape[-2:] != size:
            ids = functional.interpolate(ids[:, None].double(), tuple(size), mode="nearest-exact")[:, 0]
        ids = ids.long()
        if outside := [each for each in torch.unique(ids).tolist() if not 0 <= each < self.num_classes]:
            raise NetworkError(
                f"{self.file} predicts the class index {outside[0]}, and the label space has {self.num_classes} classes, from 0. "
                "Name the classes that it predicts, in their order: model.label_space=NAME"
            )
        logits = torch.full((len(ids), self.num_classes, *size), NOT_PREDICTED)
        return logits.scatter_(1, ids[:, None], 0.0)


class OnnxGraph(Graph):
    """An ONNX file, ours or another's, with one input of images, (B, 3, H, W) or (B, H, W, 3), and the prediction as first output.

    `raw` is set where it takes images of 0–255 as they are, as one in uint8 does; all others get them normalised. A fixed number of
    images is kept to. Raises NetworkError where onnxruntime is missing, or cannot read the file.
    """

    def __init__(self, num_classes: int, file: str, output: Literal["logits", "ids"] = "logits") -> None:
        super().__init__(num_classes, file, output)
        self._session, self._failures = _session(file)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        self._last = len(shape) == 4 and shape[1] != 3 and shape[3] == 3  # channels are the last axis
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type not in DTYPES or (isinstance(shape[1], int) and shape[1] != 3 and not self._last):  # fmt: skip
            named = "; ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise NetworkError(
                f"{file} takes {named or 'nothing'}; one input of images is needed, (N, 3, H, W) or (N, H, W, 3)."
            )
        self._input, self.dtype = inputs[0].name, DTYPES[inputs[0].type]
        self._most = shape[0] if isinstance(shape[0], int) else None
        sides = shape[1:3] if self._last else shape[2:]
        self._size = [side if isinstance(side, int) else None for side in sides]
        facts = self._session.get_modelmeta().custom_metadata_map
        self.raw = self.dtype == torch.uint8 or facts.get("input_range") == "0-255"

    def compute(self, images: Tensor) -> Tensor:
        """Map a batch to what the file predicts. Raises NetworkError for a size that it does not take."""
        if any(fixed not in (None, side) for fixed, side in zip(self._size, images.shape[-2:], strict=True)):
            wanted = [fixed or side for fixed, side in zip(self._size, images.shape[-2:], strict=True)]
            raise NetworkError(
                f"{self.file} takes images of {wanted[0]}×{wanted[1]} pixels only, and these have {images.shape[2]}×{images.shape[3]}. "
                f"Type 'data.eval_size=[{wanted[0]},{wanted[1]}]'"
            )
        return _in_parts(self._compute, images, self._most)

    def _compute(self, images: Tensor) -> Tensor:
        batch = images.permute(0, 2, 3, 1).contiguous() if self._last else images
        try:
            return torch.from_numpy(self._session.run(None, {self._input: batch.numpy()})[0])
        except self._failures as error:
            height, width = images.shape[-2:]
            raise NetworkError(
                f"{self.file} cannot predict {len(images)} images of {height}×{width} pixels: {' '.join(str(error).split())}"
            ) from None


class ProgramGraph(Graph):
    """A program of torch.export that export.py has written; nothing in its file is unpickled or executed but tensor operations."""

    def __init__(self, num_classes: int, file: str, output: Literal["logits", "ids"] = "logits") -> None:
        super().__init__(num_classes, file, output)
        from lightning_modules.networks.program_file import read_program

        program = read_program(Path(file))
        images = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0]).meta[
            "val"
        ]
        self.dtype = images.dtype
        self._most = images.shape[0] if isinstance(images.shape[0], int) else None
        self._compute = (program.module(),)  # in a tuple: it stays on the CPU, whatever the module around it does

    def compute(self, images: Tensor) -> Tensor:
        """Map a batch to what the program predicts. Raises NetworkError for a size that it does not take."""
        try:
            return _in_parts(self._compute[0], images, self._most)
        except (AssertionError, RuntimeError) as error:
            height, width = images.shape[-2:]
            reason = " ".join(str(error).split())
            raise NetworkError(f"{self.file} does not take images of {height}×{width} pixels: {reason}") from None


def _in_parts(compute: Callable[[Tensor], Tensor], images: Tensor, most: int | None) -> Tensor:
    """Compute a batch in parts of exactly `most` images, the last one filled up; None: as it is."""
    if most is None:
        return compute(images)
    parts = []
    for part in torch.split(images, most):
        filled = torch.cat([part, part[-1:].expand(most - len(part), -1, -1, -1)]) if len(part) < most else part
        parts.append(compute(filled)[: len(part)])
    return torch.cat(parts)


def _session(file: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """An onnxruntime session of a file, and the exceptions that it raises."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise NetworkError(f"{file} needs the package onnxruntime ({error}). Type: {INSTALL}") from None
    raised = [each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception)]
    failures: tuple[type[Exception], ...] = (*raised, RuntimeError)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised as well
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]), failures
    except failures as error:
        raise NetworkError(f"{file} cannot be read as an ONNX model: {' '.join(str(error).split())}") from None


def _shape(found: Tensor) -> str:
    return "×".join(map(str, found.shape))
