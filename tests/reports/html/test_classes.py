import pytest

from reports.html.classes import around_mean, class_rows, largest_confusions, matrix
from tests.reports.html.conftest import AWKWARD, classified, write_run


def test_the_class_table_has_what_each_class_is_taken_for_by_hand(images):
    first, second, third = class_rows(images)
    assert (first["name"], first["recall"], first["images"], first["few"]) == (AWKWARD, pytest.approx(1 / 3), 3, 2)
    assert first["taken"] == {"name": "green & blue", "share": pytest.approx(2 / 3)}
    assert second["taken"] is None
    assert third["taken"] == {"name": AWKWARD, "share": 0.5}


def test_images_of_masks_are_frames_that_have_the_class(masks):
    road, car, boat = class_rows(masks)
    assert [each["images"] for each in (road, car, boat)] == [3, 2, 0]
    assert (road["support"], road["predicted"]) == (21, 22)  # 5 of void truth are not counted
    assert road["taken"] == {"name": "car", "share": pytest.approx(2 / 21)}
    assert boat["iou"] is None


def test_classes_around_the_mean():
    classes = [{"name": name, "f1": f1} for name, f1 in (("a", 0.2), ("b", 0.6), ("c", None), ("d", 0.4), ("e", 0.1))]
    assert around_mean(classes, 0.4) == {"above": ["b", "d"], "below": ["a", "e"], "undefined": ["c"]}
    assert around_mean([{"name": "a", "f1": None}], None) == {"above": [], "below": [], "undefined": ["a"]}


def test_confusions_by_hand_the_most_errors_first(images, masks):
    first, second = largest_confusions(images)
    assert (first["truth"], first["predicted"], first["count"]) == (AWKWARD, "green & blue", 2)
    assert (first["share"], first["of_errors"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert first["worst"] == [(1, "b/1"), (2, "a/2")]  # with probabilities 0.8 and 0.6
    assert (second["truth"], second["predicted"], second["worst"]) == ("never", AWKWARD, [(7, "b/7")])
    pixels = largest_confusions(masks)
    assert [(each["truth"], each["predicted"], each["count"]) for each in pixels] == [
        ("car", "road", 4),
        ("road", "car", 2),
        ("road", "void", 1),
    ]
    assert [each["of_errors"] for each in pixels] == [pytest.approx(n / 7) for n in (4, 2, 1)]


def test_the_matrix_has_all_that_is_not_zero_and_no_row_of_void(masks):
    drawn = matrix(masks)
    assert (drawn["rows"], drawn["columns"], drawn["names"]) == (3, 4, ["road", "car", "boat", "void"])
    assert drawn["support"] == [21, 8, 0]
    found = {(cell["row"], cell["column"]): (cell["count"], cell["share"]) for cell in drawn["cells"]}
    assert found == {(0, 0): (18, 18 / 21), (0, 1): (2, 2 / 21), (0, 3): (1, 1 / 21), (1, 0): (4, 0.5), (1, 1): (4, 0.5)}  # fmt: skip


@pytest.mark.parametrize(("classes", "cell"), [(2, 52), (7, 52), (26, 28), (60, 18), (150, 13)])
def test_cells_are_as_large_as_their_number_allows(tmp_path, settings, classes, cell):
    evaluation = classified([0, 1], [0, 0], [0.9, 0.8], tuple(f"class {i}" for i in range(classes)))
    files = write_run(tmp_path / "run", evaluation, settings["classification"])
    drawn = matrix(files)
    assert (drawn["cell"], drawn["rows"], drawn["columns"]) == (cell, classes, classes)  # nothing is predicted as void
