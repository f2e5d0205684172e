import csv
import time

import pytest
from torch.utils.data import DataLoader

from callbacks.history import HistoryWriter, TimingWriter, columns
from metrics import scores
from run_files import read_csv
from tests.callbacks.tiny import Line, loader, trainer

SCORES = ("loss", "accuracy", "f1_macro", "f1_weighted", "miou", "fwiou")


def test_the_columns_are_those_of_the_headline_scores(monkeypatch):
    plain = ["epoch", "step", "lr", "train/loss", *(f"{stream}/{name}" for stream in ("train_eval", "val") for name in SCORES), "seconds"]  # fmt: skip
    assert columns() == plain
    monkeypatch.setattr(scores, "SCORES", dict(scores.SCORES))
    scores.register_score("kappa")(scores.accuracy)
    assert columns() == [*plain[:10], "train_eval/kappa", *plain[10:16], "val/kappa", "seconds"]


def test_a_score_of_earlier_epochs_that_is_not_registered_now_is_kept(tmp_path):
    path, early = tmp_path / "history.csv", dict.fromkeys(columns(), "") | {"epoch": "-1", "val/kappa": "0.5"}
    with path.open("w", newline="") as file:
        csv.DictWriter(file, list(early)).writeheader()
        csv.DictWriter(file, list(early)).writerow(early)
    trainer(tmp_path, [HistoryWriter(path)], epochs=1).fit(Line(), loader(), loader())
    assert [row["val/kappa"] for row in read_csv(path)] == ["0.5", ""]


def test_a_row_per_epoch(tmp_path):
    trainer(tmp_path, [HistoryWriter(tmp_path / "history.csv")]).fit(Line(), loader(), loader())
    rows = read_csv(tmp_path / "history.csv")
    assert list(rows[0]) == columns()
    assert [(row["epoch"], row["step"], row["lr"]) for row in rows] == [
        ("0", "4", "0.01"),
        ("1", "8", "0.01"),
        ("2", "12", "0.01"),
    ]
    assert [float(row["val/loss"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert float(rows[2]["train/loss"]) < float(rows[0]["train/loss"])
    assert rows[0]["val/accuracy"] == ""  # not computed: empty, not 0
    assert all(float(row["seconds"]) > 0 for row in rows)


class Slow(DataLoader):
    """Counts how long it is waited for, as the data modules' loaders do."""

    waited, cached = 0.0, False

    def __iter__(self):
        self.waited = 0.0
        for batch in super().__iter__():
            time.sleep(0.02)
            self.waited += 0.02
            yield batch


def test_the_time_spent_waiting_for_batches_is_within_that_of_the_steps(tmp_path):
    path = tmp_path / "timing.csv"
    trainer(tmp_path, [TimingWriter(path)], epochs=2, reload_dataloaders_every_n_epochs=1).fit(
        Line(), Slow(loader().dataset, batch_size=2), loader()
    )
    first, second = read_csv(path)
    assert (first["epoch"], second["epoch"], float(first["waited"])) == ("0", "1", 0.08)  # 4 batches
    assert (first["workers"], first["cached"]) == ("0", "0")
    assert 0.08 <= float(first["steps"]) < 5


def test_rows_of_an_earlier_version_keep_their_columns(tmp_path):
    path = tmp_path / "timing.csv"
    path.write_text("epoch,steps,waited\n-1,2.0,1.0\n")
    trainer(tmp_path, [TimingWriter(path)], epochs=1).fit(Line(), Slow(loader().dataset, batch_size=2), loader())
    assert [(row["epoch"], row["workers"]) for row in read_csv(path)] == [("-1", ""), ("0", "0")]


def test_a_loader_that_does_not_measure_has_no_timing(tmp_path):
    trainer(tmp_path, [TimingWriter(tmp_path / "timing.csv")], epochs=1).fit(Line(), loader(), loader())
    assert not (tmp_path / "timing.csv").exists()
