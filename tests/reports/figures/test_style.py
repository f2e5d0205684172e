import warnings

from reports.figures.style import drawing, undrawable


def test_names_with_letters_that_the_font_lacks_are_told():
    assert undrawable(["road", "Straße", "मिट्टी", "a$b$c", "道 road"]) == ["मिट्टी", "道 road"]


def test_letters_that_the_font_lacks_are_drawn_without_a_warning_for_each(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with drawing(tmp_path / "figure.png", 2, 2) as figure:
            figure.suptitle("मिट्टी")
    assert (tmp_path / "figure.png").is_file()
