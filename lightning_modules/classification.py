"""Image classification: one class per image."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.supervised import Batch, SupervisedModule
from metrics.per_sample import ImageRecords


class ClassificationModule(SupervisedModule):
    """Predicts one class per image, and records prediction, probability and loss of each evaluated sample."""

    headline = "f1_macro"

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.records = nn.ModuleDict({stream: ImageRecords(self.label_space.num_classes) for stream in self.streams})

    def evaluate_batch(self, batch: Batch, stream: str) -> dict[str, Tensor]:
        """Evaluate images (B, 3, H, W) against targets (B,); see the base class."""
        logits, target, index = self.counted(batch, stream)
        probability, prediction = logits.softmax(1).max(1)
        loss = functional.cross_entropy(logits, target, reduction="none")
        self.confusion_of(stream).update(prediction, target)
        records = self.records_of(stream)
        records.update(index=index, target=target, prediction=prediction, probability=probability, loss=loss)
        return {"index": index, "prediction": prediction, "finite": probability.isfinite()}
