"""What a user reads where a dataset is refused."""

import pytest

from datamodules import refusals
from datamodules.splits.sample_table import Sample, SampleTable

TABLE = SampleTable([Sample("a", "a", "cat", "train"), Sample("b", "b", "dog", "train"), Sample("c", "c", "cat", "test")])  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "accumulate", "nearest"), [(3, 1, "3 and 6"), (2, 3, "6"), (1, 7, "7"), (1, 3, "3 and 6")]
)
def test_the_nearest_sizes_of_a_batch(settings, ranks, accumulate, nearest):
    message = str(refusals.uneven_steps(settings(batch_size=4), ranks, accumulate))
    assert message == f"data.batch_size=4 must divide by devices × accumulation = {ranks} × {accumulate}; the nearest that does: {nearest}."  # fmt: skip


def test_what_is_wrong_with_a_folder(settings, tmp_path):
    archive = tmp_path / "images.zip"
    archive.write_text("")
    for folders, found in {
        (): "data=tiny reads a folder of images: type data.root=FOLDER.",
        (
            archive,
        ): f"data.root={archive} is a file, not a folder; unpack it, and give the folder that holds the images.",
        (
            tmp_path,
            tmp_path / "no",
        ): f"data.root={tmp_path / 'no'} does not exist; give the folder that holds the images.",
        (tmp_path, tmp_path): f"data.root=[{tmp_path},{tmp_path}]: data=tiny reads one folder; give one of them.",
    }.items():
        assert str(refusals.wrong_root(settings(root=[str(folder) for folder in folders] or None), folders)) == found


def test_an_empty_split_names_those_that_are_not(settings):
    val = str(refusals.empty_split(settings(), "val", TABLE, 2))
    assert "val has no samples, as 2 files are left out (data.on_corrupt=skip); type data.select_from=train" in val
    assert val.endswith("There are train (2), test (1).")
    none = str(refusals.empty_split(settings(), "train", SampleTable([]), 0))
    assert none == "data=tiny: train has no samples; change data.split. There are none."


def test_other_sentences_have_what_was_found(settings):
    assert "data.split=sets/{split}.txt: data=tiny reads no lists" in str(
        refusals.no_lists(settings(split="sets/{split}.txt"))
    )
    assert "1 class only (cat)" in str(refusals.too_few_classes(settings(), ["cat"]))
    same = refusals.same_classes(settings(), [("\u00e9", "e\u0301")])
    assert r"('\xe9' and 'e\u0301')" in str(same)
    assert "3 training samples are fewer than data.batch_size=4" in str(refusals.no_step(settings(), 3))
