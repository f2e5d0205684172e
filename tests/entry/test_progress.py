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
