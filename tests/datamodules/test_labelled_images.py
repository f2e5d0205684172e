"""Images whose classes a table has."""

from functools import partial

import pytest

from datamodules.errors import DatasetError
from tests.datamodules.test_image_folder import image_folder, picture, splits_of


@pytest.fixture
def module(tmp_path):
    return partial(image_folder, tmp_path)


def flat(root, rows=None, count=20):
    """Pictures in one folder, and a table of their classes."""
    for number in range(count):
        picture(root / "images" / f"{number:03}.png", number)
    lines = [f"images/{number:03}.png,{'ab'[number % 2]}" for number in range(count)] if rows is None else rows
    (root / "labels.csv").write_text("\n".join(["file,label", *lines, ""]))
    return root


def test_a_flat_folder_has_its_classes_from_a_table(tmp_path, module):
    root = flat(tmp_path / "root")
    data = module(root, labels=str(root / "labels.csv"))
    data.prepare_training()
    assert {sample.name: sample.target for sample in data.table.samples} == {
        f"images/{number:03}.png": "ab"[number % 2] for number in range(20)
    }
    assert data.notes == ["Ignored under the root: files that are no images (1)."]
    data.table.write_csv(tmp_path / "split.csv")
    (root / "labels.csv").write_text("file,label\nimages/000.png,b\n")  # the run keeps its own
    again = module(root, labels=str(root / "labels.csv"), split=str(tmp_path / "split.csv"))
    again.prepare_training()
    assert again.table.sha256() == data.table.sha256()


def test_a_table_may_be_named_relative_to_the_root(tmp_path, module, monkeypatch):
    root = flat(tmp_path / "root")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    data = module(root, labels="labels.csv")
    assert len(data.find()) == 20
    assert f"data.labels: there is no {tmp_path}/here/labels.csv, but {root}/labels.csv, which is read." in data.notes
    with pytest.raises(DatasetError, match=rf"data\.labels={tmp_path}/here/lables\.csv cannot be read: No such file"):
        module(root, labels="lables.csv").find()


def test_all_that_does_not_fit_a_table_is_named_or_left_out(tmp_path, module):
    rows = [f"{number:03},{'ab'[number % 2]}" for number in range(16)]
    root = flat(tmp_path / "root", [*rows, "003,c", "gone.png,a", "016,"])
    labels = str(root / "labels.csv")
    with pytest.raises(DatasetError) as refusal:
        module(root, labels=labels).find()
    for line in (
        "1 rows name no image that is there: gone.png (line 19)",
        "1 images are listed with different classes: images/003.png (b in line 5, c in line 18)",
        "1 rows have no class: 016 (line 20)",
        "3 images have no row: images/017.png, images/018.png, images/019.png",
        "data.on_corrupt=skip",
    ):
        assert line in str(refusal.value)
    data = module(root, labels=labels, on_corrupt="skip")
    assert len(data.find()) == 15
    assert len(data.skipped) == 3
    assert any("Images without a row in" in note and ": 3, such as images/017.png" in note for note in data.notes)


def test_a_table_and_ready_folders_of_pictures_alone(tmp_path, module):
    root = tmp_path / "root"
    for number in range(40):
        picture(root / ("train" if number < 30 else "test") / f"{number:03}.png", number)
    (root / "labels.csv").write_text("\n".join(["id;label", *(f"{n:03};{'ab'[n % 2]}" for n in range(40)), ""]))
    keys = {"labels": str(root / "labels.csv"), "select_from": "train"}
    data = module(root, split="folders", **keys)
    data.prepare_training()
    assert splits_of(data) == {"train": 27, "select": 3, "val": 0, "test": 10}
    data = module(root, **keys)
    data.prepare_training()
    assert splits_of(data) == {"train": 28, "select": 0, "val": 4, "test": 8}


def test_a_table_may_have_the_groups_and_the_split_too(tmp_path, module):
    root = flat(tmp_path / "root")
    rows = [f"{n:03}.png,{'ab'[n % 2]},{n // 4},{('Training', 'valid', 'test')[n % 3]}" for n in range(20)]
    (root / "labels.csv").write_text("\n".join(["file,label,group,set", *rows, ""]))
    data = module(root, labels=str(root / "labels.csv"), split=str(root / "labels.csv"))
    data.prepare_training()
    assert splits_of(data) == {"train": 7, "select": 0, "val": 7, "test": 6}
    data = module(root, labels=str(root / "labels.csv"), split_by="group")
    data.prepare_training()
    sides = {(sample.group, sample.split) for sample in data.table.samples}
    assert len(sides) == len({group for group, _ in sides}) == 5


def test_classes_of_a_table_can_be_chosen(tmp_path, module):
    root = flat(tmp_path / "root", [f"{n:03},{'abc'[n % 3]}" for n in range(20)])
    data = module(root, labels=str(root / "labels.csv"), classes=["c", "a"])
    data.prepare_training()
    assert data.label_space.classes == ("c", "a")
    assert any("images of classes that are not in data.classes (7)" in note for note in data.notes)
    with pytest.raises(DatasetError, match=r"data\.classes names d, of which .*labels\.csv has no image"):
        module(root, labels=str(root / "labels.csv"), classes=["a", "d"]).find()
