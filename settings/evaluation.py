"""`evaluation` and `report`: how a checkpoint is evaluated, and what is written of it."""

from typing import Annotated

from pydantic import Field

from settings.base import Group, Legal, Number, Size

OVERLAP = 3  # without a stride, neighbouring windows share a third
Scales = Annotated[
    list[Annotated[Number, Field(gt=0)]],
    Field(min_length=1),
    Legal("a list of numbers above 0, such as [0.75,1.0,1.25]"),
]


class EvaluationSettings(Group):
    """`evaluation`: test-time augmentation of evaluations and predictions; validation during training has none."""

    flip: bool = Field(False, description="average the probabilities over each image and its mirror image")
    scales: Scales = Field([1.0], description="average over scales, such as [0.75,1.0,1.25]; segmentation only")
    window: Size | None = Field(
        None, description="[height,width] of sliding windows; null: the whole image; segmentation only"
    )
    stride: Size | None = Field(None, description="[height,width] between windows; null: two thirds of them")

    @property
    def steps(self) -> tuple[int, int]:
        """(height, width) from one window to the next; only with a `window`."""
        if self.stride is not None:
            return self.stride
        height, width = self.window or (0, 0)
        return height - height // OVERLAP, width - width // OVERLAP


class ReportSettings(Group):
    """`report`: what is scored and written beside the usual tables and figures."""

    train_eval: bool = Field(True, description="score a fixed, unaugmented part of train after each epoch")
    predictions: bool = Field(False, description="write predicted masks, as ids and as colours; segmentation only")
    region_sizes: bool = Field(
        False, description="slices.csv has scores by the size of a pixel's region; segmentation only"
    )
    html: bool = Field(True, description="write a page of the evaluation, report.html")
    images: bool = Field(
        True, description="show images in the page and in loggers; false: none, as where terms forbid passing them on"
    )
    gallery_iou: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.5, description="the page shows where each class with an IoU up to this fails worst; segmentation only"
    )
