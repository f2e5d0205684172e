"""The record of skipped samples: a row an epoch, a line a sample, and an end where nothing of an evaluation is left."""

import pytest
import torch
from torch.utils.data import DataLoader

from callbacks.skipped_samples import SkippedSamples
from datamodules.errors import UnreadableError
from run_files import read_csv
from tests.callbacks.tiny import Line, trainer


class Skipping(Line):
    """Takes batches of plain data, as the loaders give them."""

    def training_step(self, batch, index):
        return super().training_step(batch["x"], index)

    def test_step(self, batch, index):
        pass


def batches(skipped, counted=True):
    """Two batches of two samples, of which the second has skipped ones."""
    rows = [{"skipped": skipped} if place else {} for place in range(2)]
    plain = [{"x": torch.ones(2, 1), "index": torch.arange(2), "counted": counted, **row} for row in rows]
    return DataLoader(plain, batch_size=None)


ROW = ("train", "a/b.png", "a/b.png: gone, with a comma")


def test_a_row_for_each_epoch_and_one_line(tmp_path, capsys):
    path = tmp_path / "skipped.csv"
    trainer(tmp_path, [SkippedSamples(path)]).fit(Skipping(), batches([ROW]), batches([]))
    assert read_csv(path) == [dict(zip(("epoch", "part", "sample", "reason"), (str(epoch), *ROW), strict=True)) for epoch in range(3)]  # fmt: skip
    assert capsys.readouterr().err.count("train: a/b.png: gone, with a comma; another sample") == 1
    again = SkippedSamples(path)  # of a run that is resumed
    trainer(tmp_path, [again], epochs=1).fit(Skipping(), batches([("train", "c.png", "gone")]), batches([]))
    assert [(row["epoch"], row["sample"]) for row in read_csv(path)] == [*((str(i), "a/b.png") for i in range(3)), ("0", "c.png")]  # fmt: skip


def test_rows_that_cannot_be_written_are_written_with_the_next_ones(tmp_path):
    class Later(Skipping):
        def on_train_epoch_start(self):
            if self.current_epoch == 2:  # until then its folder is missing, and a write fails
                (tmp_path / "gone").mkdir()

    path = tmp_path / "gone/skipped.csv"
    trainer(tmp_path, [SkippedSamples(path)]).fit(Later(), batches([ROW]), batches([]))
    assert [row["epoch"] for row in read_csv(path)] == ["0", "1", "2"]


def test_without_any_there_is_no_file(tmp_path):
    path = tmp_path / "skipped.csv"
    trainer(tmp_path, [SkippedSamples(path)]).fit(Skipping(), batches([]), batches([]))
    assert not path.exists()


def test_of_a_test_too_and_nothing_left_is_an_end(tmp_path, capsys):
    path = tmp_path / "skipped.csv"
    row = ("test", "d.png", "d.png: gone")
    trainer(tmp_path, [SkippedSamples(path)]).test(Skipping(), batches([row]), verbose=False)
    assert read_csv(path) == [{"epoch": "", "part": "test", "sample": "d.png", "reason": "d.png: gone"}]
    assert "test: d.png: gone; it is not scored" in capsys.readouterr().err
    with pytest.raises(UnreadableError, match=r"^No evaluated sample can be read any more, such as d\.png: gone"):
        trainer(tmp_path, [SkippedSamples(None)]).test(Skipping(), batches([row], counted=False), verbose=False)
