"""Patterns of paths: what they mean, and which images and masks they pair."""

import unicodedata

import pytest

from datamodules.errors import DatasetError
from datamodules.files.patterns import Pattern, check_comparable, pair


def found(text, *files):
    pattern = Pattern(text)
    return [match for file in files if (match := pattern.match(file))]


@pytest.mark.parametrize(
    ("text", "file", "key", "split"),
    [
        ("images/{name}.*", "images/monday/a.b.jpg", ("monday/a.b",), None),
        ("images/{name}.*", "images/train/a.jpg", ("train/a",), "train"),
        ("{split}/{name}.png", "Training/a/b.PNG", ("a/b",), "train"),
        ("{split}annot/{name}.png", "valannot/a.png", ("a",), "val"),
        ("{split}2017/{name}.*", "train2017/a.jpg", ("a",), "train"),
        ("a/{split}/{city}/{name}_leftImg8bit.png", "a/val/bonn/1_leftImg8bit.png", ("bonn", "1"), "val"),
        ("{name}/{name}.jpg", "a/a.jpg", ("a",), None),
        ("images/*.jpg", "images/a.jpg", ("a",), None),
        ("{split}/*/*.*", "test/x/a.jpg", ("x", "a"), "test"),
        ("**/*.jpg", "a/b/c.jpg", ("a/b/", "c"), None),
        ("img-{number}.jp?g", "img-7.jpeg", ("7",), None),
    ],
)
def test_what_a_pattern_means(text, file, key, split):
    (match,) = found(text, file)
    assert (match.key, match.split) == (key, split)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("images/{name}.*", "masks/a.png"), ("{split}/{name}.png", "trainannot/a.png"), ("*.jpg", "a/b.jpg"), ("{name}/{name}.jpg", "a/b.jpg"),
        ("{id}.jpg", "a/b.jpg"), ("{name}.png", "a.jpg"), ("a.b/{name}.*", "aab/c.png"),
    ],
)  # fmt: skip
def test_what_a_pattern_does_not_mean(text, file):
    assert found(text, file) == []


def test_files_are_found_below_the_literal_folder(tmp_path):
    for name in ("a/b/1.jpg", "a/b/._1.jpg", "a/__MACOSX/b/2.jpg", "a/b/Thumbs.db", "a/c/3.jpg", "a/b/deep/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pattern = Pattern("a/b/{name}.*")
    assert [match.file for match in pattern.find(tmp_path)] == ["a/b/1.jpg", "a/b/deep/4.jpg"]
    with pytest.raises(DatasetError, match=r"data\.image_pattern=x/\{name\}\.\*: data\.root=.* has no folder x\."):
        Pattern("x/{name}.*").find(tmp_path)
    assert pattern.example({"name": "street"}, ".(jpg|…)") == "a/b/street.(jpg|…)"


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        ("images/1.jpg", "masks/{name}.png", r"data\.image_pattern=images/1\.jpg means one file; put \{name\}"),
        ("{city}/{name}.jpg", "{name}.png", r"do not have the same placeholder \{city\}"),
        ("*/*.jpg", "*.png", "do not have the same wildcards"),
    ],
)
def test_patterns_that_cannot_pair_files_are_refused(image, mask, words):
    with pytest.raises(DatasetError, match=words):
        check_comparable(Pattern(image), Pattern(mask, "data.mask_pattern"))


def paired(images, masks, mask_text="m/{name}.*"):
    return pair(found("i/{name}.*", *images), found(mask_text, *masks), by_split=False)


def test_an_exact_name_comes_before_others():
    pairs = paired(["i/A.jpg", "i/a.jpg", "i/B.jpg"], ["m/a.png", "m/A.png", "m/b.png"])
    assert [(image.file, mask.file) for image, mask in pairs.pairs] == [
        ("i/A.jpg", "m/A.png"),
        ("i/B.jpg", "m/b.png"),
        ("i/a.jpg", "m/a.png"),
    ]
    assert [image.file for image, _ in pairs.inexact] == ["i/B.jpg"]


def test_names_that_unicode_writes_in_two_ways_are_paired():
    name = "straße_ü"
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    pairs = paired([f"i/{composed}.jpg"], [f"m/{decomposed}.png"])
    assert len(pairs.pairs) == len(pairs.inexact) == 1


def test_a_name_that_differs_in_case_is_not_paired_with_one_of_two():
    pairs = paired(["i/A.jpg"], ["m/a.png", "m/a.PNG"])
    assert pairs.pairs == []
    assert ([each.file for each in pairs.images], len(pairs.masks)) == (["i/A.jpg"], 2)


def test_several_images_of_one_name_are_all_named():
    pairs = paired(["i/a.jpg", "i/a.png", "i/b.jpg"], ["m/a.png", "m/b.png"])
    assert [image.file for image, _ in pairs.pairs] == ["i/b.jpg"]
    assert [(each.name, each.reason) for each in pairs.repeated] == [
        ("i/a.jpg", "there are several files of this name: a.jpg, a.png"),
        ("i/a.png", "there are several files of this name: a.jpg, a.png"),
    ]
    assert pairs.images == pairs.masks == []


def test_masks_called_as_whole_image_files_tell_them_apart():
    pairs = paired(["i/a.jpg", "i/a.png"], ["m/a.jpg.png", "m/a.png.png"])
    assert [(image.file, mask.file) for image, mask in pairs.pairs] == [
        ("i/a.jpg", "m/a.jpg.png"),
        ("i/a.png", "m/a.png.png"),
    ]
    assert pairs.repeated == []
