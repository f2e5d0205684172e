"""Folders of images and masks as public datasets and tools leave them, read without conversion."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.mask_folder import MaskFolderDataModule
from tests.datamodules.conftest import SIZE, picture, scene

FRACTIONS = {"train": 0.5, "val": 0.25, "test": 0.25}


def save(root, image, mask, seed, ids=None):
    for name, pixels in ((image, picture(scene(seed))), (mask, scene(seed) if ids is None else ids)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name:
            Image.fromarray(pixels).save(path)


@pytest.fixture
def make(settings):
    def make(root, **keys):
        defaults = {
            "root": str(root),
            "split": FRACTIONS,
            "split_by": "sample",
            "label_space": "idd_lite",
            "masks": "files",
        }
        module = MaskFolderDataModule(settings(**defaults | keys))
        module.prepare_training()
        return module

    return make


@pytest.fixture
def camvid(tmp_path):
    root = tmp_path / "CamVid"
    for split, count in {"train": 6, "val": 2, "test": 2}.items():
        for n in range(count):
            save(root, f"{split}/{split}_{n:03}.png", f"{split}annot/{split}_{n:03}.png", n + 10 * count)
    (root / "train.txt").write_text("/SegNet/CamVid/train/train_000.png /SegNet/CamVid/trainannot/train_000.png\n")
    return root


def check(module):
    """Every mask is that of its image, whose red channel has the same ids."""
    for part in ("train", "val", "test"):
        for index in module.indices(part):
            name = module.names[index]
            expected = np.array(Image.open(module.file(name)).convert("RGB"))[..., 0]
            np.testing.assert_array_equal(np.where(expected == 255, 7, expected), module.read_mask(name))


def test_camvid_as_downloaded(make, camvid):
    with pytest.raises(DatasetError, match=r"holds ready folders \(test, train, val\); add data\.split=folders"):
        make(camvid)
    module = make(camvid, split="folders")
    assert {split: len(module.indices(split)) for split in ("train", "val", "test")} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }
    assert (
        "The layout was recognised by names: 'data.image_pattern={split}/{name}.*' 'data.mask_pattern={split}annot/{name}.*'."
        in module.notes
    )
    assert module.names[0] == "test/test_000.png"
    assert sorted(module.prediction_files("test").values()) == ["test/test_000.png", "test/test_001.png"]
    check(module)


def test_a_root_one_level_too_high_or_too_low_is_answered_with_the_right_one(make, camvid, tmp_path):
    (tmp_path / "__MACOSX/CamVid/train").mkdir(parents=True)
    (tmp_path / "__MACOSX/CamVid/train/._x.png").touch()
    with pytest.raises(DatasetError, match=f"is too high: images and masks are in CamVid. Type data.root={camvid}$"):
        make(tmp_path)
    with pytest.raises(DatasetError, match=f"those of the folder around it do. Type data.root={camvid}$"):
        make(camvid / "train")


def test_what_an_archive_and_a_desktop_leave_is_no_image(make, camvid):
    for name in (
        "train/._train_000.png",
        "train/Thumbs.db",
        ".DS_Store",
        "__MACOSX/train/train_000.png",
        "trainannot/desktop.ini",
    ):
        (camvid / name).parent.mkdir(parents=True, exist_ok=True)
        (camvid / name).write_bytes(b"\0")
    assert len(make(camvid, split="folders").table) == 10


def test_typed_patterns_and_groups(make, tmp_path):
    for city in range(4):
        for n in range(2):
            save(tmp_path, f"rgb/c{city}/{n}.png", f"classes/c{city}/{n}_ids.png", 7 * city + n)
    patterns = {"image_pattern": "rgb/{group}/{name}.png", "mask_pattern": "classes/{group}/{name}_ids.png"}
    module = make(tmp_path, split_by="group", **patterns)
    assert {sample.group for sample in module.table.samples} == {"c0", "c1", "c2", "c3"}
    check(module)
    check(make(tmp_path, image_pattern="rgb/*/*.png", mask_pattern="classes/*/*_ids.png"))
    assert not any("recognised" in note for note in module.notes)
    with pytest.raises(
        DatasetError, match=r"data\.mask_pattern is missing: patterns go together\. Type 'data\.image_pattern=rgb/"
    ):
        make(tmp_path, image_pattern="rgb/{name}.png")
    with pytest.raises(
        DatasetError,
        match=r"no pair of files such as rgb/street\.png and classes/street\.png; images found: 8, masks: 8",
    ):
        make(tmp_path, image_pattern="rgb/{name}.png", mask_pattern="classes/{name}.png")


def test_masks_in_another_place(make, tmp_path):
    for n in range(4):
        save(tmp_path, f"here/{n}.png", f"there/masks/{n}.png", n)
    for mask in (f"{tmp_path}/there/masks/{{name}}.png", "../there/masks/{name}.png"):
        module = make(tmp_path / "here", image_pattern="{name}.png", mask_pattern=mask)
        check(module)
        assert len(module.indices("train")) == 2
    with pytest.raises(DatasetError, match=r"must be a path within data\.root="):
        make(tmp_path, image_pattern=f"{tmp_path}/here/{{name}}.png", mask_pattern="there/masks/{name}.png")


def test_masks_beside_images_are_no_images(make, tmp_path):
    for n in range(4):
        save(tmp_path, f"{n}.png", f"{n}_L.png", n)
    module = make(tmp_path)
    assert module.names == ["0.png", "1.png", "2.png", "3.png"]
    check(module)


def test_lists_of_voc(make, tmp_path):
    for n in range(6):
        save(tmp_path, f"JPEGImages/2007_{n}.png", f"SegmentationClass/2007_{n}.png" if n < 5 else "", n)
        (tmp_path / "SegmentationObject").mkdir(exist_ok=True)
        Image.fromarray(scene(n)).save(tmp_path / f"SegmentationObject/2007_{n}.png")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    for split, numbers in {"train": "012", "val": "34"}.items():
        (tmp_path / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"2007_{n}\n" for n in numbers))
    with pytest.raises(DatasetError, match=r"mask SegmentationClass/2007_5\.") as refusal:
        make(tmp_path)
    Image.fromarray(picture(scene(7))).save(tmp_path / "JPEGImages/2007_7.png")
    Image.fromarray(picture(scene(8))).save(tmp_path / "JPEGImages/2007_8.png")
    with pytest.raises(DatasetError, match=r"3 files .*: has no mask; to take only those that lists name") as refusal:
        make(tmp_path)
    assert "type 'data.split=\"ImageSets/Segmentation/{split}.txt\"'" in str(refusal.value)
    module = make(tmp_path, split="ImageSets/Segmentation/{split}.txt")
    assert {split: len(module.indices(split)) for split in ("train", "select", "val")} == {
        "train": 2,
        "select": 1,
        "val": 2,
    }
    assert "Images that no list of ImageSets/Segmentation/{split}.txt names: 3; they are left out." in module.notes
    check(module)


def test_several_kinds_of_masks_are_all_offered(make, tmp_path):
    for n in range(3):
        for kind in ("labelIds", "color"):
            save(tmp_path, f"leftImg8bit/val/{n}_leftImg8bit.png", f"gtFine/val/{n}_gtFine_{kind}.png", n)
    with pytest.raises(DatasetError, match=r"which of several files are the masks\. Type one of:") as refusal:
        make(tmp_path)
    for kind in ("labelIds", "color"):
        line = f"\n  'data.image_pattern=leftImg8bit/{{split}}/{{name}}_leftImg8bit.*' 'data.mask_pattern=gtFine/{{split}}/{{name}}_gtFine_{kind}.*'"
        assert line in str(refusal.value)


def test_names_in_another_case_are_paired_with_a_note(make, tmp_path):
    for n in range(4):
        save(tmp_path, f"images/Street{n}.png", f"masks/street{n}.png", n)
    module = make(tmp_path)
    assert any(
        note.startswith("Masks whose names differ from their images' in case or Unicode form only: 4")
        for note in module.notes
    )
    check(module)


def test_skipping_is_not_advised_where_no_frame_is_left(make, camvid):
    for path in camvid.glob("*annot/*.png"):
        Image.fromarray(np.full(SIZE, 255, np.uint8)).save(path)
    with pytest.raises(DatasetError, match="because without them nothing is left:\n  10 files") as refusal:
        make(camvid, split="folders")
    assert "on_corrupt" not in str(refusal.value)


# Outlines

CAR = [[2, 2], [9, 2], [9, 7], [2, 7]]


def labelme(root, name, *shapes):
    root.mkdir(exist_ok=True)
    save(root, f"{name}.jpg", "", int(name))
    height, width = SIZE
    shapes = [{"label": label, "points": points, "shape_type": kind} for label, points, kind in shapes]
    text = json.dumps(
        {"imagePath": f"{name.split('/')[-1]}.jpg", "imageHeight": height, "imageWidth": width, "shapes": shapes}
    )
    (root / f"{name}.json").write_text(text)


def test_outlines_of_labelme(make, tmp_path):
    for n in range(6):
        road = ("road", [[0, 12], [35, 23]], "rectangle")
        labelme(tmp_path, f"{n}", road, ("car", CAR, "polygon"))
    module = make(tmp_path, masks="labelme", label_space=None)
    assert module.label_space.classes == ("background", "car", "road")
    (tmp_path / "package.json").write_text("{}")  # no outlines, and no mask without an image
    expected = np.zeros(SIZE, np.uint8)
    expected[12:], expected[2:8, 2:10] = 2, 1
    np.testing.assert_array_equal(module.read_mask("3.jpg"), expected)
    assert make(tmp_path, masks="labelme", label_space=None, classes=["road", "car"]).class_counts("train") == [
        3 * 12 * 36,
        3 * 6 * 8,
    ]
    with pytest.raises(DatasetError, match=r"6 files \(0\.jpg, .*\): it has the label 'car', which tiny does not have"):
        make(tmp_path, masks="labelme", label_space=None, classes=["background", "road"])


def test_pixels_outside_outlines_are_not_the_second_of_two_classes(make, tmp_path):
    """Unlike mask files, where 255 beside 0 alone is the second class."""
    for n in range(6):
        labelme(tmp_path, f"{n}", ("road", CAR, "polygon"))
    module = make(tmp_path, masks="labelme", label_space=None, classes=["road", "car"])
    assert module.class_counts("train") == [3 * 6 * 8, 0]
    assert not any("0 and 255" in note for note in module.notes)


def test_a_label_of_outlines_is_made_no_class(make, tmp_path):
    for n in range(6):
        labelme(tmp_path, f"{n}", ("road", [[0, 12], [35, 23]], "rectangle"), ("void", CAR, "polygon"))
    three = make(tmp_path, masks="labelme", label_space=None)
    assert three.label_space.classes == ("background", "road", "void")
    assert "void is a class like others; type data.void_ids=[2] if it is no class." in three.notes
    two = make(tmp_path, masks="labelme", label_space=None, void_ids=[2])
    assert two.label_space.classes == ("background", "road")
    np.testing.assert_array_equal(two.read_mask("1.jpg"), three.read_mask("1.jpg"))  # void follows the classes
    assert two.class_counts("train") == three.class_counts("train")[:2]


def coco(root, name, files, folder=""):
    content = {
        "images": [{"id": n, "file_name": file, "height": SIZE[0], "width": SIZE[1]} for n, file in enumerate(files)],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "road"}],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": c, "segmentation": [shape], "iscrowd": 0}
            for n in range(len(files))
            for k, (c, shape) in enumerate(((1, [0, 12, 35, 12, 35, 23, 0, 23]), (3, [2, 2, 9, 2, 9, 7, 2, 7])))
        ],
    }
    for number, file in enumerate(files):
        save(root, f"{folder}{file}", "", number)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


def test_outlines_of_coco(make, tmp_path):
    for split, count in {"train": 5, "val": 2}.items():
        coco(
            tmp_path,
            f"annotations/instances_{split}2017.json",
            [f"{split}{n}.jpg" for n in range(count)],
            f"{split}2017/",
        )
    keys = {"masks": "coco", "label_space": None}
    with pytest.raises(DatasetError, match=r"holds ready folders \(train, val\); add data\.split=folders"):
        make(tmp_path, **keys)
    module = make(tmp_path, split="folders", **keys)
    assert module.label_space.classes == ("background", "road", "car")
    assert {split: len(module.indices(split)) for split in ("train", "select", "val")} == {
        "train": 4,
        "select": 1,
        "val": 2,
    }
    expected = np.zeros(SIZE, np.uint8)
    expected[12:], expected[2:8, 2:10] = 1, 2
    np.testing.assert_array_equal(module.read_mask("train2017/train3.jpg"), expected)
    batch = next(iter(module.evaluation_dataloader("val")))
    np.testing.assert_array_equal(batch["target"][1], expected)
    with pytest.raises(
        DatasetError,
        match=r"\n  7 files \(.*\): it has the label 'road', which tiny does not have; add to data\.classes",
    ):
        make(tmp_path, split="folders", classes=["background", "car"], **keys)
    typed = {"mask_pattern": "annotations/instances_{split}2017.json", "image_pattern": "{split}2017/{name}.jpg"}
    assert make(tmp_path, split="folders", **keys, **typed).table.samples == module.table.samples
    (tmp_path / "annotations/instances_val2017.json").unlink()
    with pytest.raises(
        DatasetError, match=r"(?s)2 of 7 frames .*: is in none of annotations/instances_train2017\.json"
    ):
        make(tmp_path, **keys)


def test_a_run_without_files_of_outlines_is_answered(make, tmp_path):
    save(tmp_path, "a.jpg", "", 1)
    with pytest.raises(DatasetError, match=r"has no JSON files\. Type which have images, annotations"):
        make(tmp_path, masks="coco", label_space=None)
    with pytest.raises(DatasetError, match=r"has no \.json file, of which each image needs one; images: 1\."):
        make(tmp_path, masks="labelme", label_space=None)
    with pytest.raises(DatasetError, match=r"data\.masks=polygons: data=tiny has masks=files, labelme or coco"):
        make(tmp_path, masks="polygons")


def test_hashes_are_of_files_and_of_what_is_drawn_from_a_part(make, tmp_path):
    def hashed(content):
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    for n in range(6):
        labelme(tmp_path / "labelme", f"{n}", ("road", CAR, "polygon"))
    coco(tmp_path / "coco", "all.json", [f"{n}.jpg" for n in range(6)])
    alone = make(tmp_path / "labelme", masks="labelme", label_space=None)
    assert alone.contents["3.jpg"][1] == hashed((tmp_path / "labelme/3.json").read_bytes())
    parts = make(tmp_path / "coco", masks="coco", label_space=None)
    assert parts.contents["3.jpg"][1] == hashed(parts.read_mask("3.jpg").tobytes())
