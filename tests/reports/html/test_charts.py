import math

import pytest

from reports.html.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, line_chart, ticks


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
    assert line_chart([1, 2], {"a": [math.nan, math.nan]})["lines"] == []


def test_many_epochs_have_whole_ticks_within_them_and_no_markers():
    drawn = line_chart(list(range(1, 101)), {"a": [0.5] * 100})
    assert [text for _, text in drawn["xticks"]] == ["20", "40", "60", "80", "100"]
    assert not drawn["markers"]
