import warnings

import pytest

from reports.figures.style import LONGEST_NAME, compact, drawing, short_names, undrawable


def test_names_with_letters_that_the_font_lacks_are_found():
    assert undrawable(["road", "Straße", "मिट्टी", "a$b$c", "道 road"]) == ["मिट्टी", "道 road"]


def test_letters_that_the_font_lacks_are_drawn_without_a_warning_for_each(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with drawing(tmp_path / "figure.png", 2, 2) as figure:
            figure.suptitle("मिट्टी")
    assert (tmp_path / "figure.png").is_file()


def test_a_figure_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.png"
    path.write_bytes(b"old")

    def fail():
        with drawing(path, 1, 1):
            raise KeyError("midway")

    with pytest.raises(KeyError):
        fail()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("c.png", b"old")]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9960, "10k"),
        (38_400, "38k"),
        (4_120_000, "4.1M"),
        (2e9, "2.0G"),
    ],
)
def test_compact(number, text):
    assert compact(number) == text


def test_short_names_keep_both_ends():
    name = "the beginning " + "x" * 50 + " the end"
    [shown, bus] = short_names([name, "bus"])
    assert len(shown) <= LONGEST_NAME
    assert shown.startswith("the beginning")
    assert shown.endswith("the end")
    assert bus == "bus"


def test_short_names_of_different_names_differ():
    long = [f"the same beginning {number:04} of names and the same end" for number in range(120)]
    already_short = short_names(long[:1])
    shown = short_names([*long, *already_short])
    assert len(set(shown)) == 121
    assert max(map(len, shown)) <= LONGEST_NAME
    assert shown[-1] == already_short[0]
