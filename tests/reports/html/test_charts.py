import math

import pytest

from reports.html.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    POINT,
    RIGHT,
    TOP,
    WIDTH,
    history_charts,
    line_chart,
    scatter_chart,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.93, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 6, [1, 2, 3, 4, 5, 6]), (0, 0.0012, [0, 5e-4, 1e-3, 1.5e-3]), (3, 3, [1, 2, 3, 4, 5])],
)  # fmt: skip
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    found = ticks(low, high)
    assert found == pytest.approx(expected)
    assert found[0] <= low <= high <= found[-1]


def test_lines_are_where_their_values_are_and_broken_at_gaps():
    drawn = line_chart([1, 2, 3], {"a": [0.0, 0.5, 1.0], "gone": [math.nan] * 3, "b": [1.0, math.nan, 0.0]}, marked=2)
    first, second = drawn["lines"]
    bottom, top, right = HEIGHT - BOTTOM, TOP, WIDTH - RIGHT
    assert first["parts"] == [[(LEFT, bottom), ((LEFT + right) / 2, (bottom + top) / 2), (right, top)]]
    assert (second["label"], second["style"], second["parts"]) == ("b", 2, [[(LEFT, top)], [(right, bottom)]])
    assert drawn["marked"] == (LEFT + right) / 2
    assert [text for _, text in drawn["xticks"]] == ["1", "2", "3"]


def test_a_single_epoch_and_a_history_without_values_can_be_drawn():
    one = line_chart([1], {"a": [0.3]})
    assert [text for _, text in one["xticks"]] == ["1"]
    assert len(one["lines"][0]["parts"][0]) == 1
    assert line_chart([1, 2], {"a": [math.nan, math.inf]})["lines"] == []
    [part] = line_chart([1, 2], {"a": [math.inf, 0.3]})["lines"][0]["parts"]
    assert part == [(WIDTH - RIGHT, one["lines"][0]["parts"][0][0][1])]


def test_many_epochs_have_whole_ticks_within_them_and_no_markers():
    drawn = line_chart(list(range(1, 101)), {"a": [0.5] * 100})
    assert [text for _, text in drawn["xticks"]] == ["20", "40", "60", "80", "100"]
    assert not drawn["markers"]


def test_points_are_where_their_values_are_and_the_line_has_steps():
    drawn = scatter_chart([0, 10, 20], [0.0, None, 1.0], line=[0.0, 0.5, 1.0])
    left, right = LEFT + 2 * POINT, WIDTH - RIGHT - 2 * POINT
    bottom, top = HEIGHT - BOTTOM - POINT, TOP + POINT
    middle = ((left + right) / 2, (bottom + top) / 2)
    assert drawn["points"] == [(left, bottom), (middle[0], bottom), (right, top)]
    assert drawn["line"] == [(left, bottom), (middle[0], bottom), middle, (right, middle[1]), (right, top)]
    assert [text for _, text in drawn["xticks"]] == ["0", "10", "20"]


@pytest.mark.parametrize(
    ("x", "log", "texts"),
    [
        ([0.001, 0.003], False, ["0.001", "0.003"]),
        ([1, 2, 100], False, ["20", "40", "60", "80", "100"]),
        ([1.7e-5, 2.3e-4, 4.1e-3, 9.9e-2], True, ["1.7e-05", "0.00023", "0.0041", "0.099"]),
        ([1.7e-5, 1.8e-5, 4.1e-3, 9.9e-2], True, ["0.0001", "0.001", "0.01"]),
        ([3], False, ["3"]),
    ],
)
def test_values_of_points_are_ticks_where_there_is_room(x, log, texts):
    drawn = scatter_chart(x, [0.5] * len(x), log=log)
    assert [text for _, text in drawn["xticks"]] == texts
    assert all(LEFT <= place <= WIDTH - RIGHT for place, _ in drawn["xticks"])


def test_histories_of_different_lengths_are_drawn_over_the_same_epochs():
    rows = [{"epoch": str(i), "val/loss": f"{2 - i}", "val/miou": ""} for i in range(3)]
    charts = dict(history_charts([("long", 0, rows), ("short", "-rest", rows[:1])], "miou"))
    long, short = charts["validation loss"]["lines"]
    assert (long["label"], long["style"], short["label"], short["style"]) == ("long", 0, "short", "-rest")
    assert [len(part) for part in long["parts"]] == [3]
    assert short["parts"] == [long["parts"][0][:1]]
    assert charts["validation miou"]["lines"] == charts["training loss"]["lines"] == []
    assert history_charts([], "miou") == []
