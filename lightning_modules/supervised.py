"""The part that both tasks share: normalisation on the device, one loss, exact means over ranks and accumulated batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics.utilities.distributed import gather_all_tensors

from label_spaces.space import LabelSpace
from lightning_modules.schedules import apply_settings
from lightning_modules.test_time_augmentation import TestTimeAugmentation
from metrics.confusion import ConfusionMatrix
from metrics.counting import NO_FLOAT64
from metrics.per_sample import ImageRecords, MaskRecords
from metrics.scores import mean_scores

Batch = Mapping[str, Any]
VALIDATION_STREAMS = ("val", "train_eval")  # in the order of the datamodule's validation loaders


def exactly(values: Tensor) -> Tensor:
    """Return values as float64: on their device, or on the CPU where that has none, as Apple's GPUs."""
    return (values.cpu() if values.device.type in NO_FLOAT64 else values).double()


class SupervisedModule(lightning.LightningModule, ABC):
    """A network that learns classes from (image, target) pairs; a subclass defines the predictions of a task.

    `network` maps normalised images (B, 3, H, W) to logits, classes along dimension 1; the memory format of its weights
    (channels_last or contiguous) is that of the images too. `normalisation` is the mean and the standard deviation of each
    channel, in 0–1 of the uint8 range. `scheduler` is stepped after every optimiser step. `loss` maps logits and target to
    a sum and the weight to divide it by, such as `losses.CrossEntropy`. `share` is the number of samples of a full batch
    on one device, before accumulation.
    """

    headline: ClassVar[str]  # the score by which the best checkpoint is chosen
    streams = (*VALIDATION_STREAMS, "test")
    records: nn.ModuleDict  # by stream a metric that keeps a row per evaluated sample

    def __init__(
        self,
        network: nn.Module,
        label_space: LabelSpace,
        normalisation: tuple[Sequence[float], Sequence[float]],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        loss: nn.Module,
        share: int = 1,
        test_time_augmentation: TestTimeAugmentation | None = None,
    ) -> None:
        super().__init__()
        contiguous = all(weight.is_contiguous() for weight in network.parameters())
        self.memory_format = torch.contiguous_format if contiguous else torch.channels_last
        self.network, self.label_space, self.share, self.training_loss = network, label_space, share, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.test_time_augmentation = test_time_augmentation or TestTimeAugmentation()
        mean, deviation = (torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) * 255 for values in normalisation)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("inverse_deviation", 1 / deviation, persistent=False)
        # Not buffers: DDP would overwrite them with the first rank's. They become tensors where they are added to.
        self._step_weight: Tensor | float = 0.0
        self._epoch_loss: Tensor | float = 0.0  # (2,) float64: sum and weight
        self._full_weight = 1
        self.confusion = nn.ModuleDict({stream: ConfusionMatrix(label_space.num_classes) for stream in self.streams})
        # Plain strings only: a checkpoint must load with weights_only.
        self.save_hyperparameters({"label_space": label_space.name, "classes": list(label_space.classes)})

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map uint8 images (B, 3, H, W) to float32 logits; in training, those of auxiliary heads follow in a tuple."""
        normalised = (images.to(self.dtype) - cast(Tensor, self.mean)) * cast(Tensor, self.inverse_deviation)
        logits = self.network(normalised.contiguous(memory_format=self.memory_format))
        if isinstance(logits, Mapping):  # torchvision's segmentation models: out, and perhaps aux
            logits = tuple(logits.values()) if self.training and len(logits) > 1 else logits["out"]
        return tuple(head.float() for head in logits) if isinstance(logits, tuple) else cast(Tensor, logits).float()

    def predict_logits(self, images: Tensor, stream: str = "test") -> Tensor:
        """Map uint8 images (B, 3, H, W) to float32 logits; only in the stream ``test`` with test-time augmentation."""
        once = cast(Callable[[Tensor], Tensor], self)
        return self.test_time_augmentation(once, images) if stream == "test" else once(images)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return this rank's sum of losses over the weight of a full part, see `on_before_optimizer_step`."""
        target = batch["target"]
        total, weight = self.sum_and_weight(self(batch["image"]), batch)
        if not batch["counted"]:  # it only keeps this rank in step with the others
            total, weight = total * 0, weight * 0
        self._full_weight = self.share * target[0].numel()
        self._step_weight = self._step_weight + weight
        self._epoch_loss = self._epoch_loss + exactly(torch.stack([total.detach(), weight]))
        loss = total / self._full_weight
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def sum_and_weight(self, logits: Tensor | tuple[Tensor, ...], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of a training batch's losses and that of their weights; `logits` are of its images, perhaps mixed ones."""
        mixed = (batch["partner"], batch["lambda"]) if "partner" in batch else ()
        return cast(tuple[Tensor, Tensor], self.training_loss(logits, batch["target"], *mixed))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Scale the gradient to that of the mean over the whole step, on all ranks and in all accumulated batches.

        Averaging each part's own mean instead would give a sample of a smaller part, a rarer class or a frame with more
        void another weight than on one device.
        """
        weight = torch.as_tensor(self._step_weight)
        if self.trainer.world_size > 1:
            dist.all_reduce(weight)
        parts = self.trainer.world_size * self.trainer.accumulate_grad_batches  # over which the trainer has averaged
        factor = parts * self._full_weight / weight.clamp(min=1e-12)  # all void: the gradient is 0 already
        if factor.is_cuda or factor != 1:  # comparing on a GPU would wait for it
            torch._foreach_mul_([p.grad for p in self.parameters() if p.grad is not None], factor)
        self._step_weight = 0.0

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm of the gradient; Lightning itself refuses to for every fused optimiser in mixed precision."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_validation_start(self) -> None:
        """Broadcast the first rank's buffers: each rank has updated its own while training."""
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                dist.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of the validation split, or of the fixed part of the training split."""
        self.evaluate_batch(batch, VALIDATION_STREAMS[dataloader_idx])

    def test_step(self, batch: Batch, _: int) -> Mapping[str, Tensor]:
        """Evaluate a batch of the reported split and return the results of `evaluate_batch`, for callbacks."""
        return self.evaluate_batch(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the scores of both streams and the epoch's training loss, and reset them.

        The training loss is logged here because the hook for the end of a training epoch runs in callbacks, such as the
        history's, before it runs in the module.
        """
        total, weight = self.epoch_loss_of_ranks().sum(0).tolist()
        if weight:
            self.log("train/loss", total / weight)
        self._epoch_loss = 0.0
        loaders = self.trainer.val_dataloaders
        for stream in VALIDATION_STREAMS[: len(loaders) if isinstance(loaders, list) else 1]:
            # The plain cross-entropy, without weights and smoothing, so that runs can be compared.
            loss = self.records_of(stream).counts().mean_loss()
            scores = {"loss": loss, **mean_scores(self.confusion_of(stream).compute().cpu())}
            for name, value in scores.items():
                if value is not None and not name.endswith("_classes"):
                    shown = stream == "val" and name in ("loss", self.headline)
                    self.log(f"{stream}/{name}", float(value), prog_bar=shown)
            self.reset_stream(stream)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the epoch's training loss so far; called on every rank."""
        checkpoint["epoch_loss"] = self.epoch_loss_of_ranks().cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the epoch's training loss and apply this run's own optimiser settings."""
        of_ranks, ranks = checkpoint["epoch_loss"], self.trainer.world_size
        if len(of_ranks) != ranks:  # the first rank takes the whole loss
            of_ranks = torch.cat([of_ranks.sum(0, keepdim=True), of_ranks.new_zeros(ranks - 1, 2)])
        device = self.trainer.strategy.root_device
        self._epoch_loss = of_ranks[self.global_rank].to("cpu" if device.type in NO_FLOAT64 else device)
        optimizer = self.make_optimizer(self.parameters())
        apply_settings(checkpoint, optimizer, self.make_scheduler(optimizer))

    def epoch_loss_of_ranks(self) -> Tensor:
        """Return (ranks, 2) float64: the sums of the training losses and of their weights on each rank in this epoch."""
        own = exactly(cast(Tensor, self.mean).new_zeros(2)) + self._epoch_loss
        return torch.stack(gather_all_tensors(own) if self.trainer.world_size > 1 else [own])

    def confusion_of(self, stream: str) -> ConfusionMatrix:
        """Return the confusion matrix of a stream."""
        return cast(ConfusionMatrix, self.confusion[stream])

    def records_of(self, stream: str) -> ImageRecords | MaskRecords:
        """Return the per-sample records of a stream."""
        return cast(ImageRecords | MaskRecords, self.records[stream])

    def counted(self, batch: Batch, stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, targets and sample indices of a batch; none where it only keeps this rank in step with others."""
        logits = self.predict_logits(batch["image"], stream)
        count = len(logits) if batch["counted"] else 0
        return logits[:count], batch["target"][:count], batch["index"][:count]

    @abstractmethod
    def evaluate_batch(self, batch: Batch, stream: str) -> dict[str, Tensor]:
        """Predict a batch and count it in a stream.

        Returns by name the ``index`` (B,) of the counted samples, their ``prediction``, class indices (B,) or (B, H, W),
        and ``finite`` (B,): whether each sample's highest logits are finite. Where they are not, its prediction means
        nothing.
        """

    def reset_stream(self, stream: str) -> None:
        """Reset all counts of a stream."""
        self.confusion_of(stream).reset()
        self.records_of(stream).reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimiser, and its schedule over all steps of the run."""
        optimizer = self.make_optimizer(self.parameters())
        schedule = self.make_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
