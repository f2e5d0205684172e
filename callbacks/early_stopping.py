"""Early stopping that is reported."""

import math

from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from streams import print_to_stderr


class EarlyStopping(callbacks.EarlyStopping):  # under Lightning's name, by which checkpoints know its state
    """Lightning's EarlyStopping on val/loss; the first rank prints on stderr, below the lines of the epochs, that it ended a training."""

    def __init__(self, patience: int, min_delta: float) -> None:
        super().__init__("val/loss", patience=patience, min_delta=min_delta)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the end, unless it was the last epoch's; a signal's stop does not come this far."""
        epochs, most = trainer.fit_loop.epoch_progress.current.completed, trainer.max_epochs or 0
        measured = trainer.callback_metrics.get("val/loss")  # none where a resumed run had ended before
        stopped = self.stopping_reason != EarlyStoppingReason.NOT_STOPPED and epochs < most
        if measured is not None and stopped and trainer.is_global_zero:
            loss = measured.item()
            why = f"has not fallen for early_stopping.patience={self.patience}" if math.isfinite(loss) else f"is {loss}"
            print_to_stderr(f"early stopping: after epoch {epochs} of {most}, as val/loss {why}")
