"""What a test split's batches are counted as, by drive and on the classes of the data."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from callbacks.calibration import Calibration


def test_batches_are_counted_by_drive_band_and_mapped_class():
    callback = Calibration([2, 5, 7], ["b", "a", "b"], 2, mapping=[1, 0, 2])
    module = nn.Linear(1, 1)
    module.device = torch.device("cpu")
    callback.on_test_start(None, module)
    truth = np.zeros((3, 8, 9), np.uint8)
    truth[0, :, 5:] = 1  # the band is columns 2 to 7
    truth[1, 0, 0] = 2  # void, and a band of 4 × 4 with it
    prediction = np.zeros((3, 8, 9), np.int64)  # class 1 of the data
    prediction[1] = 1  # class 0
    prediction[2] = 2  # void
    batch = {"target": torch.from_numpy(truth)}
    for confidence, chosen in ((0.5, slice(0, 2)), (1.0, slice(2, 3))):
        shape = prediction[chosen].shape
        outputs = {"index": torch.tensor([2, 7, 5])[chosen], "prediction": torch.from_numpy(prediction[chosen]), "confidence": torch.full(shape, confidence)}  # fmt: skip
        callback.on_test_batch_end(None, module, outputs, {"target": batch["target"][chosen]}, 0)
    nothing = {"index": torch.empty(0, dtype=torch.int64), "prediction": torch.empty(0, 8, 9).long(), "confidence": torch.empty(0, 8, 9)}  # fmt: skip
    callback.on_test_batch_end(None, module, nothing, batch, 1)  # what only keeps a rank in step with others
    sums = callback.compute()
    found = {tuple(place): sums[place[0], :, *place[1:]].tolist() for place in np.argwhere(sums[:, 0]).tolist()}
    half, one = 1 << 23, 1 << 24
    assert found == {  # drive, class, region (the band first) and bin
        (1, 1, 0, 7): [48, 24, 48 * half],
        (1, 1, 1, 7): [24, 8, 24 * half],
        (1, 0, 0, 7): [15, 15, 15 * half],
        (1, 0, 1, 7): [56, 56, 56 * half],
        (0, 2, 1, 14): [72, 0, 72 * one],
    }


def test_a_split_may_have_no_frames():
    assert Calibration([], [], 2).compute().shape == (1, 3, 3, 2, 15)


def test_only_a_table_of_the_frames_is_kept():
    groups = SimpleNamespace(few=["a"] * 5_000, many=[f"{i}" for i in range(5_000)])
    assert Calibration(range(5_000), groups.few, 2).compute().shape[0] == 1
    assert Calibration(range(5_000), groups.many, 2).compute().shape[0] == 256
