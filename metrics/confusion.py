"""The one confusion matrix: true x predicted, with void as the last row and column."""

import torch
from torch import Tensor
from torchmetrics import Metric

from metrics.counting import confusion_matrix


class ConfusionMatrix(Metric):
    """Accumulate one confusion matrix over batches and ranks; the arguments are those of `confusion_matrix`.

    Example:
        >>> metric = ConfusionMatrix(num_classes=2)
        >>> metric.update(prediction=torch.tensor([0, 1, 2]), target=torch.tensor([0, 0, 1]))
        >>> metric.compute().tolist()
        [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    """

    full_state_update = False
    is_differentiable = False
    counts: Tensor
    elements: Tensor

    def __init__(self, num_classes: int, num_predicted: int | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_predicted = num_predicted or num_classes
        counts = torch.zeros(num_classes + 1, self.num_predicted + 1, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")
        self.add_state("elements", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch; shapes, types and errors are those of `confusion_matrix`."""
        self.counts += confusion_matrix(prediction, target, self.num_classes, self.num_predicted)
        self.elements += target.numel()

    def add(self, counts: Tensor, elements: int) -> None:
        """Add (C+1, P+1) int64 counts on this metric's device, of so many elements."""
        self._update_count += 1
        self._computed = None  # as `update` does: the cached result no longer holds
        self.counts += counts
        self.elements += elements

    def compute(self) -> Tensor:
        """Return the (C+1, P+1) int64 counts of all batches on all ranks.

        Raises ValueError where an accelerator left elements out because their index was outside 0..C or 0..P.
        """
        lost = int(self.elements) - int(self.counts.sum())
        if lost:
            raise ValueError(
                f"{lost} of {int(self.elements)} elements had a class index outside 0..{self.num_predicted}"
            )
        return self.counts.clone()
