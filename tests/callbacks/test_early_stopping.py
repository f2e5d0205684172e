"""The line that reports early stopping; whole runs are in tests/test_train.py."""

import pytest
import torch

from callbacks.early_stopping import EarlyStopping
from tests.callbacks.tiny import Line, loader, trainer


class Losses(Line):
    """Has given validation losses."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_validation_epoch_end(self):
        self.log("val/loss", self.values[self.current_epoch])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1.0, 2.0, 3.0, 4.0], "early stopping: after epoch 3 of 4, as val/loss has not fallen for early_stopping.patience=2"),
        ([float("nan"), 1.0, 1.0, 1.0], "early stopping: after epoch 1 of 4, as val/loss is nan"),
        ([4.0, 3.0, 2.0, 1.0], None),
        ([4.0, 3.0, 5.0, 6.0], None),  # the last epoch's: nothing was left out
    ],
)  # fmt: skip
def test_an_end_before_the_last_epoch_is_reported_on_stderr(tmp_path, capsys, values, line):
    trainer(tmp_path, [EarlyStopping(2, 0.0)], 4).fit(Losses(values), loader(), loader())
    out, err = capsys.readouterr()
    assert [each for each in err.splitlines() if "early" in each] == ([] if line is None else [line])
    assert "early" not in out


def test_its_state_has_the_name_that_checkpoints_of_lightnings_own_have():
    from lightning.pytorch.callbacks import EarlyStopping as Own

    assert EarlyStopping(2, 0.1).state_key == Own("val/loss", patience=2, min_delta=0.1).state_key
    assert torch.isinf(EarlyStopping(2, 0.1).best_score)
