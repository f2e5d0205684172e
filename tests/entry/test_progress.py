"""Batches that a thread computes ahead, and what is printed of them."""

import threading

import pytest

from entry import progress


def test_items_are_computed_ahead_in_their_order_by_one_thread():
    computed = []

    def items():
        for number in range(4):
            computed.append((number, threading.current_thread()))
            yield number

    assert list(progress.ahead(items())) == [number for number, _ in computed] == [0, 1, 2, 3]
    assert len({thread for _, thread in computed}) == 1
    assert threading.current_thread() not in {thread for _, thread in computed}


def test_an_error_of_the_thread_reaches_the_caller():
    def items():
        yield 1
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        list(progress.ahead(items()))


def test_results_keep_the_order_of_items_that_are_computed_at_the_same_time():
    first = threading.Barrier(2)
    began, given = [], []

    def items():
        for number in range(6):
            given.append(number)
            yield number

    def act(number):
        began.append(number)
        if number < 2:
            first.wait(30)  # both at once
        if number == 0:
            first.wait(30)  # until the last one, which is computed meanwhile
        if number == 2:
            first.wait(30)
        return -number

    results = progress.side_by_side(act, items(), 2)
    assert next(results) == 0
    assert given == [0, 1, 2]  # and one that waits
    assert list(results) == [-1, -2, -3, -4, -5]
    assert sorted(began) == [0, 1, 2, 3, 4, 5]


def test_an_error_while_others_are_computed_reaches_the_caller_in_its_place():
    results = progress.side_by_side(lambda number: 12 // number, iter([3, 0, 4]), 2)
    assert next(results) == 4
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(("total", "words"), [(4, "of 4"), (None, "of an unknown number of")])
def test_a_pipe_has_a_line_each_minute_and_a_terminal_a_bar(monkeypatch, capsys, total, words):
    batches = [{"index": [0, 1], "unreadable": {}}, {"index": [2], "unreadable": {3: "broken"}}]
    monkeypatch.setattr(progress, "NEXT_LINE_SECONDS", -1.0)
    assert list(progress.tracked(iter(batches), total, "images", "auto")) == batches
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"images: {done} {words}") for done, line in zip((2, 4), lines, strict=True)] == [True] * 2
    monkeypatch.setattr(progress, "NEXT_LINE_SECONDS", 60.0)
    assert list(progress.tracked(iter(batches), total, "images", False)) == batches
    assert capsys.readouterr().err == ""
    assert list(progress.tracked(iter(batches), total, "images", True)) == batches
    assert "images" in capsys.readouterr().err
