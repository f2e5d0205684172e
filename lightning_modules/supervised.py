"""What every supervised task shares: normalising on the device, one loss, exact bookkeeping of what was seen."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from label_spaces.space import LabelSpace
from metrics.confusion import ConfusionMatrix
from metrics.scores import mean_scores

Batch = Mapping[str, Any]
VALIDATION_STREAMS = ("val", "train_eval")  # in the order in which the datamodule hands out their loaders


class SupervisedModule(lightning.LightningModule, ABC):
    """A network that learns classes from (image, target) pairs; a task says what a prediction is.

    Args:
        network: maps normalised images (B, 3, H, W) to logits, classes along dimension 1.
        label_space: the classes; its void is ignored in the loss and in the scores.
        normalisation: (mean, standard deviation) of each channel, in 0–1 of the uint8 range.
        optimizer: makes an optimiser of parameters.
        scheduler: makes a schedule of (optimiser, total number of steps); stepped after every optimiser step.
        class_weights: (C,) weight of each class in the training loss, or None.
        label_smoothing: of the training loss, in 0–1.
        channels_last: the memory layout of network and images; the faster one on most hardware.
    """

    headline: ClassVar[str]  # the score by which the best checkpoint is chosen
    streams = (*VALIDATION_STREAMS, "test")

    def __init__(
        self,
        network: nn.Module,
        label_space: LabelSpace,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[..., LRScheduler],
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)
        self.label_space = label_space
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in normalisation)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("inverse_deviation", 1 / deviation, persistent=False)
        self.training_loss = nn.CrossEntropyLoss(
            weight=class_weights, label_smoothing=label_smoothing, ignore_index=label_space.void
        )
        self.train_loss = MeanMetric()
        self.confusion = nn.ModuleDict({stream: ConfusionMatrix(label_space.num_classes) for stream in self.streams})
        # Plain strings only: a checkpoint must load with weights_only.
        self.save_hyperparameters({"label_space": label_space.name, "classes": list(label_space.classes)})

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 images -> logits, in float32 whatever the precision of the network."""
        normalised = (images.to(self.dtype) - cast(Tensor, self.mean)) * cast(Tensor, self.inverse_deviation)
        return cast(Tensor, self.network(normalised.contiguous(memory_format=self.memory_format))).float()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """One step's loss; its mean over the epoch weighs every sample alike."""
        loss = cast(Tensor, self.training_loss(self(batch["image"]), batch["target"]))
        self.train_loss.update(loss.detach(), weight=len(batch["image"]))
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Count one batch of the validation split, or of the fixed part of the training split."""
        self.evaluate_batch(batch, VALIDATION_STREAMS[dataloader_idx])

    def test_step(self, batch: Batch, _: int) -> None:
        """Count one batch of the split that is reported."""
        self.evaluate_batch(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the scores of both streams and the epoch's training loss, and start their counts again.

        The training loss is augmented, and averaged while the weights changed. It is logged here, because callbacks
        that write an epoch's row hear of its end before this module does.
        """
        if self.train_loss.update_called:
            self.log("train/loss", self.train_loss.compute(), rank_zero_only=True)
            self.train_loss.reset()
        for stream in VALIDATION_STREAMS:
            if not self.confusion_of(stream).update_called:  # that stream was not asked for
                continue
            scores = {"loss": self.mean_loss(stream), **mean_scores(self.confusion_of(stream).compute())}
            for name, value in scores.items():
                if value is not None and not name.endswith("_classes"):
                    shown = stream == "val" and name in ("loss", self.headline)
                    self.log(f"{stream}/{name}", float(value), prog_bar=shown, rank_zero_only=True)
            self.reset_stream(stream)

    def confusion_of(self, stream: str) -> ConfusionMatrix:
        """The confusion matrix of a stream."""
        return cast(ConfusionMatrix, self.confusion[stream])

    @abstractmethod
    def evaluate_batch(self, batch: Batch, stream: str) -> None:
        """Predict a batch and count it, unless it is one that is not to be counted."""

    @abstractmethod
    def mean_loss(self, stream: str) -> float:
        """The mean cross-entropy of a stream's samples, the same on any number of ranks."""

    def reset_stream(self, stream: str) -> None:
        """Forget what was counted in a stream."""
        self.confusion_of(stream).reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and its schedule over all steps of the run."""
        optimizer = self.make_optimizer(self.parameters())
        total_steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer, total_steps=total_steps), "interval": "step"},
        }
