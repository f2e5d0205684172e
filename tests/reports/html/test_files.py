import json
from dataclasses import replace

import numpy as np
import pytest

from reports.html.files import read_files
from run_folder import RunFolderError
from tests.reports.html.conftest import AWKWARD


def test_what_is_read_is_what_was_counted(masks):
    assert masks.confusion.tolist() == [[18, 2, 0, 1], [4, 4, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert np.array_equal(np.asarray(masks.matrices.sum(axis=0)).reshape(4, 4), masks.confusion)
    assert (masks.unit, masks.names) == ("pixels", ["road", "car", "boat"])


def test_a_table_is_read_by_place(images):
    assert (images.unit, images.names[0]) == ("images", AWKWARD)
    assert images.confusion[:3, :3].tolist() == [[1, 2, 0], [0, 3, 0], [1, 0, 1]]


def test_what_does_not_exist_is_empty(images):
    for name in ("confusion.csv", "per_sample.npz", "slices.csv", "calibration.csv", "class_counts.csv"):
        (images.folder / name).unlink()
    images.run.history.unlink()
    found = read_files(images.folder, images.run)
    assert found.confusion is None
    assert found.samples == {}
    assert (found.slices, found.calibration, found.class_counts, found.history, found.contents) == ([], [], [], [], [])
    assert found.scores == json.loads((images.folder / "scores.json").read_text())


def test_changed_settings_are_as_they_would_be_typed(images):
    assert images.changed == []
    text = images.settings.replace("flip: false", "flip: true").replace(
        "\n  eval_batch_size: 64", "\n  eval_batch_size: 8"
    )
    assert sorted(replace(images, settings=text).changed) == ["data.eval_batch_size=8", "evaluation.flip=true"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("confusion.csv", "18", "road"),
        ("confusion.csv", "18", "-18"),
        ("confusion.csv", "18", "9" * 30),
        ("confusion.csv", "18,", ""),
        ("confusion.csv", "\nboat,0,0,0,0", ""),
        ("class_counts.csv", "10", "x"),
        ("class_counts.csv", "10", "-10"),
        ("class_counts.csv", "10,", ""),
    ],
)
def test_a_table_that_was_changed_is_named(masks, name, before, after):
    text = (masks.folder / name).read_text()
    assert text.count(before) == 1
    (masks.folder / name).write_text(text.replace(before, after))
    with pytest.raises(RunFolderError, match=rf"{name} is damaged: "):
        read_files(masks.folder, masks.run)
