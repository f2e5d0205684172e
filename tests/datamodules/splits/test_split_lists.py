"""Lists of names in text files, as PASCAL VOC and CamVid have them."""

import pytest

from datamodules.errors import DatasetError
from datamodules.splits.split_lists import read_split_lists

FILES = ["JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c 1.jpg", "more/a.jpg", "more/d.jpg"]


def lists(root, **texts):
    (root / "sets").mkdir(exist_ok=True)
    for name, text in texts.items():
        (root / f"sets/{name}.txt").write_text(text, encoding="utf-8")
    return read_split_lists(root, "sets/{split}.txt", FILES)


def test_names_paths_and_further_columns(tmp_path):
    found = lists(
        tmp_path,
        train="\ufeffb\r\nc 1\r\n\r\n",
        val="/JPEGImages/a.jpg /SegmentationClass/a.png\n",
        test="more/d\n",
        trainval="x",
    )
    assert found == {
        "JPEGImages/b.jpg": "train",
        "JPEGImages/c 1.jpg": "train",
        "JPEGImages/a.jpg": "val",
        "more/d.jpg": "test",
    }


def test_paths_of_another_machine_and_in_another_case(tmp_path):
    found = lists(tmp_path, train="D:\\voc\\JPEGImages\\B.JPG 1\nD:\\voc\\JPEGImages\\a.jpg 0\n", val="MORE/d")
    assert found == {"JPEGImages/b.jpg": "train", "JPEGImages/a.jpg": "train", "more/d.jpg": "val"}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"train": "b"}, r"there is no sets/val\.txt under data\.root="),
        ({"train": "a\nb", "val": "d"}, r"1 lines cannot be used: train\.txt: a \(several files\)"),
        ({"train": "b", "val": "e"}, r"val\.txt: e \(no such image\)"),
        ({"train": "b", "val": "b.jpg"}, r"val\.txt: b\.jpg \(is in train too\)"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, texts, words):
    with pytest.raises(DatasetError, match=words):
        lists(tmp_path, **texts)
