import csv

import pytest

from callbacks.history import HistoryWriter, columns
from metrics import scores
from run_folder import read_csv
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
