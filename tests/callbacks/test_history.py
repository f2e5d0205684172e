import pytest

from callbacks.history import COLUMNS, HistoryWriter
from run_folder import read_csv
from tests.callbacks.tiny import Line, loader, trainer


def test_a_row_per_epoch(tmp_path):
    trainer(tmp_path, [HistoryWriter(tmp_path / "history.csv")]).fit(Line(), loader(), loader())
    rows = read_csv(tmp_path / "history.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [(row["epoch"], row["step"], row["lr"]) for row in rows] == [
        ("0", "4", "0.01"),
        ("1", "8", "0.01"),
        ("2", "12", "0.01"),
    ]
    assert [float(row["val/loss"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert float(rows[2]["train/loss"]) < float(rows[0]["train/loss"])
    assert rows[0]["val/accuracy"] == ""  # not computed: empty, not 0
    assert all(float(row["seconds"]) > 0 for row in rows)
