"""What a sweep prints: lines where no terminal is, and a table on one."""

import io
import sys

import pytest
from rich.console import Console

from hydra_plugins.idd_lightning._jobs import Record, Sweep
from hydra_plugins.idd_lightning._table import MOST_ROWS, Lines, LiveTable, print_result, shown
from run_folder import now, write_csv, write_json


def record(number, state="finished", score=0.5, **fields):
    scores = {} if score is None else {"val/miou": score}
    made = Record(number, [f"lr={number}", "seed=1"], state=state, headline="miou", scores=scores, seconds=61.2)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def sweep(tmp_path):
    made = Sweep(tmp_path / "s")
    made.create([], "")
    return made


def test_a_line_for_each_start_and_end_with_the_reason_of_a_failure(sweep, capsys):
    screen = Lines(sweep, 2, ["lr"])
    screen.started(record(3, attempts=1))
    screen.started(record(3, attempts=2))
    screen.ended(record(3), "")
    screen.ended(record(4, "failed", None, exit_code=137), "reading [b]\nno memory :smile:")
    screen.update([record(5)], 7)
    assert capsys.readouterr().out.splitlines() == [
        "Job 3 (lr=3) started.",
        "Job 3 (lr=3) started, attempt 2.",
        "Job 3 (lr=3) finished after 0:01:01, val/miou 0.500.",
        "Job 4 (lr=4) failed (exit code 137) after 0:01:01.",
        "    reading [b]",
        "    no memory :smile:",
        f"    log: {sweep.log(4)}",
    ]


def test_the_result_is_sorted_by_the_validation_score(sweep, capsys):
    for number, state, score in ((0, "finished", 0.2), (1, "refused", None), (2, "finished", 0.7), (3, "pruned", 0.4)):
        sweep.keep(record(number, state, score))
    print_result(Lines(sweep, 1, ["lr", "seed"]))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["job", "2", "3", "0", "1"]
    assert rows[1][:5] == ["2", "lr=2", "seed=1", "finished", "0.700"]


def test_many_jobs_leave_the_result_readable(sweep, capsys):
    sweep.records = {number: record(number, score=number / 1000) for number in range(1000)}
    print_result(Lines(sweep, 1, ["lr"]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MOST_ROWS + 2
    assert lines[-1] == f"… {1000 - MOST_ROWS} more in {sweep.path / 'sweep.csv'}"


def test_the_table_of_a_terminal_has_the_running_jobs_and_fits(sweep, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    sweep.records = {number: record(number) for number in range(4)}
    running = [record(number, "running", None, headline=None, started=now()) for number in range(4, 104)]
    folder = sweep.folder(4)
    folder.mkdir()
    write_json(folder / "environment.json", {"headline": "miou", "parameters": 1})
    write_csv(folder / "history.csv", [{"epoch": 0, "val/miou": 0.25}, {"epoch": 1, "val/miou": 0.125}])
    screen = LiveTable(sweep, 2, ["lr"])
    screen.live.console = screen.console = Console(
        file=(out := io.StringIO()), width=80, height=20, force_terminal=False
    )
    screen.update(running, 900)
    screen.update(running, 900)  # within the same second: not drawn again
    drawn = Console(file=(out := io.StringIO()), width=80)
    drawn.print(screen.live.renderable)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 20
    *cells, elapsed, _ = lines[1].split()
    assert (cells, elapsed[:5]) == (["4", "lr=4", "running", "2", "0.250"], "0:00:")
    assert "4 finished · 100 running · 900 waiting · best val/miou 0.500 (job 0)" in " ".join(lines)


def test_without_a_terminal_there_are_lines(sweep):
    with shown(sweep, 1, ["lr"]) as screen:
        assert type(screen) is Lines
