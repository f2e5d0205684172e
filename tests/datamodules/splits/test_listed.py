"""Split CSVs as others write them, and which files the paths in a list mean."""

from pathlib import Path

import pytest

from datamodules.errors import DatasetError
from datamodules.splits.listed import has_targets, match, read_rows, read_split_lists
from datamodules.splits.sample_table import COLUMNS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample,group,target\na,g,c\n", "has no column split"),
        (
            "",
            "has no column sample, group, target, split; its first line must name sample, group, target, split, and it has no columns",
        ),
        ("sample,group,target,split\na,g,c,tain\n", "line 2: unknown split 'tain' of sample a; use train, val, test"),
        ("sample,group,target,split\na,g,c,val\nb,g,c,val\na,g,c,val\n", "line 4: sample a already stands in line 2"),
        ("sample,group,target,split\na,g,c\n", "line 2: 3 cells under a header of 4"),
        ("sample,group,target,split\na,b,g,c,val\n", "line 2: 5 cells under a header of 4"),
        ('sample,group,target,split\n"a,g,c,val\n', "line 2: unexpected end of data; check its double quotes"),
        (b"\x89PNG\xff", "is not a text table"),
    ],
)
def test_a_broken_csv_is_refused_with_its_row(tmp_path, text, words):
    path = tmp_path / "split.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError) as refusal:
        read_rows(path, COLUMNS)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_missing_csv_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="No such file"):
        read_rows(tmp_path / "split.csv", COLUMNS)


def test_a_spreadsheets_byte_order_mark_and_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "split.csv"
    path.write_bytes(b"\xef\xbb\xbfsample,split\r\na.png,train\r\n")
    assert read_rows(path, ("sample", "split")) == [{"sample": "a.png", "split": "train"}]


def test_columns_and_splits_may_have_other_usual_names(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("Filename ; Set\n\na.png;Training\nb.png; valid \nc.png;TEST\nd.png;select\n")
    rows = read_rows(path, ("sample", "split"))
    assert [(row["sample"], row["split"]) for row in rows] == [
        ("a.png", "train"), ("b.png", "val"), ("c.png", "test"), ("d.png", "select")
    ]  # fmt: skip
    assert not has_targets(path)
    path.write_text("sample,target,split\n")
    assert has_targets(path)


FILES = ["cat/1.jpg", "cat/2.JPG", "dog/1.jpg", "dog/e\u0301.png", "dog/deep/3.tar.png"]  # é of two characters


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cat/1.jpg", "cat/1.jpg"), (" ./cat/1.jpg ", "cat/1.jpg"), ("cat\\1.jpg", "cat/1.jpg"), ("cat/1", "cat/1.jpg"),
        ("2.jpg", "cat/2.JPG"), ("2", "cat/2.JPG"), ("DOG/1.JPG", "dog/1.jpg"), ("dog/\u00e9.png", "dog/e\u0301.png"),
        ("deep/3.tar", "dog/deep/3.tar.png"), ("/data/photos/cat/1.jpg", "cat/1.jpg"), ("photos/cat/1.jpg", "cat/1.jpg"),
        ("C:\\my\\cat\\1.jpg", "cat/1.jpg"),
    ],
)  # fmt: skip
def test_a_path_means_the_one_file_that_it_ends_like(written, name):
    assert match([written], FILES, Path("/data/photos")).names == {written: name}


def test_what_means_no_file_or_several_is_told_apart():
    found = match(["1.jpg", "1", "3", "cat/1.png", "gone.jpg", "", "cat/3.tar.png"], FILES, Path("/data/photos"))
    assert found.names == {}
    assert found.ambiguous == {"1.jpg": ["cat/1.jpg", "dog/1.jpg"], "1": ["cat/1.jpg", "dog/1.jpg"]}
    assert found.unknown == ["3", "cat/1.png", "gone.jpg", "", "cat/3.tar.png"]


def test_folders_before_the_names_are_taken_for_the_root_where_all_paths_have_them():
    found = match(["/else/x/cat/1.jpg", "/else/x/dog/1.jpg"], FILES, Path("/data/photos"))
    assert (list(found.names.values()), found.beyond) == (["cat/1.jpg", "dog/1.jpg"], "else/x")
    for others in (["cat/2.JPG"], ["photos/cat/2.JPG"], ["/another/cat/2.JPG"]):
        found = match(["/else/x/cat/1.jpg", *others], FILES, Path("/data/photos"))
        assert "/else/x/cat/1.jpg" in found.unknown


def test_two_names_of_one_file_are_repeated():
    assert match(["cat/1.jpg", "./cat/1.jpg", "dog/1.jpg"], FILES, Path("/x")).repeated() == [
        ["cat/1.jpg", "./cat/1.jpg"]
    ]


def test_endings_and_case_decide_between_files_that_differ_in_nothing_else():
    files = ["a/1.jpg", "a/1.png", "a/B.jpg", "a/b.jpg"]
    found = match(["1.png", "a/1", "a/b.jpg", "B.jpg", "a/b"], files, Path("/x"))
    assert found.names == {"a/b.jpg": "a/b.jpg", "1.png": "a/1.png", "B.jpg": "a/B.jpg", "a/b": "a/b.jpg"}
    assert found.ambiguous == {"a/1": ["a/1.jpg", "a/1.png"]}


NAMES = ["JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c 1.jpg", "more/a.jpg", "more/d.jpg"]


def lists(root, **texts):
    (root / "sets").mkdir(exist_ok=True)
    for name, text in texts.items():
        (root / f"sets/{name}.txt").write_text(text, encoding="utf-8")
    return read_split_lists(root, "sets/{split}.txt", NAMES)


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
