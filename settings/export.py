"""What export.py is asked for, and the manifest of an export, by which its folder is opened again."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from settings.base import Group, Positive, Size, Text

# The file of each format; its name is fixed, so that a manifest cannot name a file elsewhere.
WEIGHTS = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch_export": "model.pt2"}
Format = Literal["safetensors", "onnx", "torch_export"]


class ExportKeys(Group):
    """What export.py writes."""

    format: Format = Field(
        "safetensors",
        description="safetensors: weights for the same network; onnx, torch_export: a graph with its normalisation inside",
    )
    input: Literal["uint8", "float32"] = Field("uint8", description="onnx: the type of the images, 0–255 in both")
    output: Literal["logits", "ids"] = Field(
        "logits", description="onnx: logits, or class indices; ids for segmentation only"
    )
    shape: Literal["dynamic", "fixed"] = Field(
        "dynamic",
        description="onnx, torch_export: any size and number of images, or one image of the size of the evaluation",
    )


class _Part(Group):
    """A part of a manifest; keys of later versions are left out."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ExportInput(_Part):
    """The images that an export takes."""

    dtype: Literal["uint8", "float32"]
    size: Size  # (height, width) of the run's evaluation
    shape: Literal["dynamic", "fixed"]


class ExportOrigin(_Part):
    """The checkpoint that was exported."""

    file: Text
    epoch: Annotated[int, Field(ge=0)]
    step: Annotated[int, Field(ge=0)]


class Manifest(_Part):
    """What is read of manifest.json; the rest of it is for people and other tools."""

    version: Positive
    format: Format
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    label_space: Text
    classes: Annotated[list[Text], Field(min_length=1)]
    input: ExportInput
    output: Literal["logits", "ids"]
    checkpoint: ExportOrigin
