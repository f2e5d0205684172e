"""Classes in a table: its columns are recognised, and what does not fit is all named."""

from pathlib import Path

import pytest

from datamodules.errors import DatasetError
from datamodules.labelled_images import read_labels

NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
CLASSES = {"a/1.jpg": "cat", "a/2.jpg": "dog", "b/1.jpg": "cat"}


def labels(tmp_path, text, names=NAMES, columns=None):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_labels(path, names, Path("/data/photos"), columns)


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na/1.jpg,cat\na/2.jpg,dog\nb/1.jpg,cat\n",
        "label;filename\r\ncat;a/1.jpg\r\ndog;a/2.jpg\r\ncat;b/1.jpg\r\n;\r\n",
        "\ufeff Image , Class \na/1,cat \na/2,dog\nb/1, cat\n",
        ",image_id,breed\n0,a/1,cat\n1,a/2,dog\n2,b/1,cat\n",  # a row number of pandas, and no usual name of the classes
        "id,path,split,label\n1,photos\\a\\1.jpg,train,cat\n2,photos\\a\\2.jpg,train,dog\n3,photos\\b\\1.jpg,test,cat\n",
        "foto,art\n/data/photos/a/1.jpg,cat\n/data/photos/a/2.jpg,dog\n/data/photos/b/1.jpg,cat\n",
    ],
)
def test_usual_tables_are_understood(tmp_path, text):
    found = labels(tmp_path, text)
    assert (found.targets, dict(found.problems), found.unlabelled) == (CLASSES, {}, [])


def test_columns_can_be_typed(tmp_path):
    text = "name,breed,colour\na/1.jpg,cat,red\na/2.jpg,dog,red\nb/1.jpg,cat,red\n"
    assert labels(tmp_path, text, columns=["name", "breed"]).targets == CLASSES
    with pytest.raises(
        DatasetError, match=r"data\.label_columns=\[name,art\]: .* no column art; it has name, breed, colour"
    ):
        labels(tmp_path, text, columns=["name", "art"])


def test_all_that_does_not_fit_is_named(tmp_path):
    text = "file,label\na/1.jpg,cat\na/1.jpg,dog\ngone.jpg,cat\n1.jpg,cat\na/2.jpg,\n./a/2.jpg,dog\nA/2.JPG,dog\n"
    found = labels(tmp_path, text, [*NAMES, "c.jpg"])
    assert found.problems == {
        "images are listed with different classes": ["a/1.jpg (cat in line 2, dog in line 3)"],
        "rows name no image that is there": ["gone.jpg (line 4)"],
        "rows fit several images; add folders": ["1.jpg (line 5): a/1.jpg, b/1.jpg"],
        "rows have no class": ["a/2.jpg (line 6)"],
    }
    assert (found.targets, found.unlabelled) == ({"a/2.jpg": "dog"}, ["b/1.jpg", "c.jpg"])
    assert found.notes == [f"Rows of {tmp_path}/labels.csv that repeat another one: 1."]


def test_a_group_may_stand_beside(tmp_path):
    found = labels(tmp_path, "file,label,group\na/1.jpg,cat,x\na/2.jpg,dog,y\nb/1.jpg,cat,x\n")
    assert found.groups == {"a/1.jpg": "x", "a/2.jpg": "y", "b/1.jpg": "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows; expected a header such as file,label"),
        ("file,label\n", "has no rows"),
        ("a/1.jpg,cat\na/2.jpg,dog\n", r"has no header: its first line names an image\. Put file,label above it"),
        ("file,kind,colour\na/1.jpg,x,y\n", r"which column has the classes is not certain; it has file, kind, colour\. .*'data\.label_columns=\[file,kind\]'"),
        ("file,split\na/1.jpg,train\n", r"data\.labels=.* has no column of classes, such as label; it has file, split"),
        ("file,label,class\na/1.jpg,x,y\n", r"'data\.label_columns=\[file,label\]'"),
        ("image,MEL,NV,BCC\na/1,1.0,0.0,0.0\na/2,0.0,1.0,0.0\n", r"a column of 0 and 1 per class \(MEL, NV, BCC\); write one column"),
        ("file,label\nx.jpg,cat\n", r"no column names images under data\.root=/data/photos: file has 'x\.jpg', .*the images there: a/1\.jpg"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(tmp_path, text, words):
    with pytest.raises(DatasetError, match=words):
        labels(tmp_path, text)
