"""Layouts of public datasets, as they are downloaded, from names alone."""

import pytest

from datamodules.files.layouts import Layout, common_folder, recognise, split_in

CITIES = ("aachen", "bochum")
DATASETS = {
    "CamVid": (
        [f"{split}{kind}/{n:03}.png" for split in ("train", "val", "test") for kind in ("", "annot") for n in range(4)],
        ["{split}/{name}.* {split}annot/{name}.*"],
    ),
    "CamVid, raw": (
        [f"701_StillsRaw_full/01TP_{n}.png" for n in range(4)] + [f"LabeledApproved_full/01TP_{n}_L.png" for n in range(4)],
        ["701_StillsRaw_full/{name}.* LabeledApproved_full/{name}_L.*"],
    ),
    "Cityscapes": (
        [f"leftImg8bit/{s}/{c}/{c}_{n:06}_19_leftImg8bit.png" for s in ("train", "val") for c in CITIES for n in range(3)]
        + [f"gtFine/{s}/{c}/{c}_{n:06}_19_gtFine_{kind}.png" for s in ("train", "val") for c in CITIES for n in range(3) for kind in ("labelIds", "instanceIds")],
        ["leftImg8bit/{split}/{name}_leftImg8bit.* gtFine/{split}/{name}_gtFine_labelIds.*"],
    ),
    "Cityscapes with colours": (
        [f"leftImg8bit/val/{n:06}_leftImg8bit.png" for n in range(3)]
        + [f"gtFine/val/{n:06}_gtFine_{kind}.png" for n in range(3) for kind in ("labelIds", "color")],
        ["leftImg8bit/{split}/{name}_leftImg8bit.* gtFine/{split}/{name}_gtFine_color.*", "leftImg8bit/{split}/{name}_leftImg8bit.* gtFine/{split}/{name}_gtFine_labelIds.*"],
    ),
    "PASCAL VOC, CVAT": (
        [f"JPEGImages/2007_{n}.jpg" for n in range(6)] + [f"{kind}/2007_{n}.png" for n in range(4) for kind in ("SegmentationClass", "SegmentationObject")],
        ["JPEGImages/{name}.* SegmentationClass/{name}.*"],
    ),
    "ADE20K": (
        [f"{kind}/{split}/ADE_{split}_{n:08}.{e}" for kind, e in (("images", "jpg"), ("annotations", "png")) for split in ("training", "validation") for n in range(3)],
        ["images/{split}/{name}.* annotations/{split}/{name}.*"],
    ),
    "imgs and labels": ([f"{kind}/{n}.png" for kind in ("imgs", "labels") for n in range(4)], ["imgs/{name}.* labels/{name}.*"]),
    "a suffix": ([f"{n}{e}" for e in (".jpg", "_mask.png") for n in ("red_car", "old_tree", "b")], ["{name}.* {name}_mask.*"]),
    "a suffix for both": ([f"train/{n}{e}" for e in ("_sat.jpg", "_mask.png") for n in range(4)], ["{split}/{name}_sat.* {split}/{name}_mask.*"]),
    "Roboflow": ([f"{s}/{n}_jpg.rf.0a{e}" for s in ("train", "valid") for e in (".jpg", "_mask.png") for n in "abc"], ["{split}/{name}.* {split}/{name}_mask.*"]),
    "Mapillary": (
        [f"{s}/{kind}/{n}.{e}" for s in ("training", "validation") for kind, e in (("images", "jpg"), ("labels", "png"), ("instances", "png")) for n in range(3)],
        ["{split}/images/{name}.* {split}/labels/{name}.*"],
    ),
    "Carvana": ([f"train/{n}_01.jpg" for n in "abc"] + [f"train_masks/{n}_01_mask.gif" for n in "abc"], ["{split}/{name}.* {split}_masks/{name}_mask.*"]),
    "COCO-Stuff": ([f"{kind}/{s}2017/{n}.{e}" for kind, e in (("images", "jpg"), ("annotations", "png")) for s in ("train", "val") for n in range(3)], ["images/{split}2017/{name}.* annotations/{split}2017/{name}.*"]),
    "one folder a day": ([f"{kind}/{day}/{n}.png" for kind in ("frames", "gt") for day in range(20) for n in range(3)], ["frames/{name}.* gt/{name}.*"]),
    "one day larger": ([f"{kind}/{day}/{n}.png" for kind in ("frames", "gt") for day, m in (("a", 7), ("b", 3)) for n in range(m)], ["frames/{name}.* gt/{name}.*"]),
    "masks beside images": ([f"{kind}{n}.png" for kind in ("", "masks/") for n in range(3)], ["{name}.* masks/{name}.*"]),
    "no word for masks": ([f"{kind}/{n}.png" for kind in ("a", "b") for n in range(3)], []),
    "no masks": ([f"images/{n}.png" for n in range(3)], []),
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_the_layout_of(name):
    files, layouts = DATASETS[name]
    assert [f"{layout.image} {layout.mask}" for layout in recognise(files)] == layouts


def test_outlines_have_an_ending_of_their_own():
    files = [f"{split}/{n}{ending}" for split in ("train", "val") for ending in (".jpg", ".json") for n in range(3)]
    (layout,) = recognise(files, [".json"])
    assert (layout.image, layout.mask, layout.count) == ("{split}/{name}.jpg", "{split}/{name}.json", 6)


def test_without_words_either_folder_may_hold_the_masks_unless_they_are_jpeg():
    files = [f"{kind}/{n}.png" for kind in "ab" for n in range(3)]
    guesses = {(layout.image, layout.mask) for layout in recognise(files, by_words=False)}
    assert guesses == {("a/{name}.*", "b/{name}.*"), ("b/{name}.*", "a/{name}.*")}
    files = [f"{kind}/{n}.{ending}" for kind, ending in (("a", "png"), ("b", "jpg")) for n in range(3)]
    (guess,) = recognise(files, by_words=False)
    assert guess.typed == "'data.image_pattern=b/{name}.*' 'data.mask_pattern=a/{name}.*'"


def test_the_folder_of_all_files():
    assert common_folder(Layout("a/b/images/{name}.*", "a/b/masks/{name}.*")) == "a/b"
    assert common_folder(Layout("a/{split}/images/{name}.*", "a/{split}/masks/{name}.*")) == "a"
    assert common_folder(Layout("images/{name}.*", "masks/{name}.*")) == ""


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("train", ("{split}", "train")), ("Training", ("{split}", "train")), ("trainannot", ("{split}annot", "train")), ("val_masks", ("{split}_masks", "val")),
        ("instances_val2017.json", ("instances_{split}2017.json", "val")), ("testament", ("testament", "")), ("trains", ("trains", "")), ("street", ("street", "")),
    ],
)  # fmt: skip
def test_the_split_in_a_name(part, found):
    assert split_in(part) == found
