"""From a folder in IDD's layout to crops and their split."""

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from datamodules.crop_rules import CropRules
from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import find_frames
from datamodules.object_crops import ObjectCropDataModule
from settings.data import DataSettings

COLOURS = {"car": (200, 30, 30), "person": (30, 200, 30), "bus": (30, 30, 200)}
DRIVES, FRAMES = 10, 2
FEW = CropRules(train=3, train_groups=2, evaluation=1)


def make_dataset(root):
    """Ten drives of two frames, each with a coloured square for a car, a person and a bus, and something deleted."""
    for drive in range(DRIVES):
        split = "val" if drive == DRIVES - 1 else "train"
        for frame in range(FRAMES):
            pixels = np.full((100, 240, 3), 128, dtype=np.uint8)
            objects = [{"label": "car", "polygon": [[0, 0], [99, 0], [99, 99]], "deleted": 1}]
            for i, (label, colour) in enumerate(COLOURS.items()):
                left, top = 10 + 75 * i, 20 + drive
                pixels[top : top + 40, left : left + 40] = colour
                corners = [[left, top], [left + 40, top], [left + 40, top + 40], [left, top + 40]]
                objects.append({"label": label, "polygon": corners, "deleted": 0})
            place = f"{split}/{drive:03}"
            for kind in ("leftImg8bit", "gtFine"):
                (root / kind / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / f"leftImg8bit/{place}/{frame}_leftImg8bit.png")
            content = {"imgWidth": 240, "imgHeight": 100, "objects": objects}
            (root / f"gtFine/{place}/{frame}_gtFine_polygons.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def root(tmp_path):
    return make_dataset(tmp_path / "idd")


def crops(root, rules=FEW, **changes):
    roots = [str(part) for part in root] if isinstance(root, list) else str(root)
    keys = {
        "name": "idd", "root": roots, "split": {"train": 0.6, "val": 0.2, "test": 0.2}, "split_by": "group",
        "image_size": (32, 32), "cache_dir": str((root[0] if isinstance(root, list) else root).parent / "cache"), "eval_batch_size": 8, "cache": False,
    }  # fmt: skip
    return ObjectCropDataModule(DataSettings(**keys | changes), rules=rules)


def test_crops_are_split_by_drive_in_the_canonical_order(root):
    data = crops(root)
    data.prepare_training()
    assert data.label_space.classes == ("person", "car", "bus")
    assert len(data.table) == DRIVES * FRAMES * 3
    assert data.table.samples[0].name == "leftImg8bit/train/000/0_leftImg8bit.png#1"
    drives = {split: {s.group for s in data.table.samples if s.split == split} for split in ("train", "val", "test")}
    assert [len(groups) for groups in drives.values()] == [6, 2, 2]
    assert len(set().union(*drives.values())) == DRIVES


def test_a_crop_shows_its_object_with_a_margin(root):
    data = crops(root)
    data.prepare_training()
    for sample in data.table.samples:
        crop = data.read(sample.name)
        assert crop.shape == (46, 46, 3)
        assert crop[3:-3, 3:-3].reshape(-1, 3).tolist() == [list(COLOURS[sample.target])] * 1600
        assert (crop[0] == 128).all()


def test_drives_that_the_split_tears_apart_are_counted(root, tmp_path):
    whole = crops(root)
    whole.prepare_training()
    assert not [note for note in whole.notes if "torn" in note]
    torn = crops(root, split_by="sample")
    torn.prepare_training()
    sides = {}
    for sample in torn.table.samples:
        sides.setdefault(sample.group, []).append(sample.split)
    several = [drive for drive in sides if len(set(sides[drive])) > 1]
    (note,) = (note for note in torn.notes if "torn" in note)
    assert several
    assert f"torn apart by the split: {len(several)} of {len(sides)}, such as {min(several)} (" in note
    torn.table.write_csv(tmp_path / "split.csv")
    again = crops(root, split=str(tmp_path / "split.csv"))
    again.prepare_training()
    assert note in again.notes


def test_drives_of_two_parts_are_one_and_a_frame_in_both_is_refused(root, tmp_path):
    other = make_dataset(tmp_path / "part2")
    with pytest.raises(DatasetError, match=r"20 frames are in more than one of these folders, such as leftImg8bit/tra"):
        crops([root, other]).prepare_training()
    for path in sorted(other.rglob("*_*")):
        path.rename(path.with_name(f"second{path.name}"))  # other frames of the same drives
    data = crops([root, other])
    data.prepare_training()
    assert len(data.table) == 2 * DRIVES * FRAMES * 3
    drives = [{s.group for s in data.table.samples if s.split == split} for split in ("train", "val", "test")]
    assert [len(groups) for groups in drives] == [6, 2, 2]
    assert len(set().union(*drives)) == DRIVES


def test_a_split_table_is_taken_as_it_is(root, tmp_path):
    data = crops(root)
    data.prepare_training()
    path = tmp_path / "split.csv"
    data.table.write_csv(path)
    again = crops(root, rules=CropRules(), split=str(path))  # whose thresholds would leave nothing
    again.prepare_training()
    assert again.table.sha256() == data.table.sha256()
    assert not again.notes


def test_a_class_that_is_too_small_is_left_out_and_noted(root):
    for path in sorted((root / "gtFine").glob("*/*/*.json"))[8:]:  # buses in four drives only
        path.write_text(path.read_text().replace('"bus"', '"billboard"'))
    rare = crops(root, rules=CropRules(train=7, train_groups=1, evaluation=1))
    rare.prepare_training()
    assert rare.label_space.classes == ("person", "car")
    assert "Left out as too rare: bus (8); a class needs 9 crops." in rare.notes
    small = crops(root, rules=CropRules(train=3, train_groups=5, evaluation=1))
    small.prepare_training()
    assert small.label_space.classes == ("person", "car")
    assert any(note.startswith("Left out as too small: bus (") for note in small.notes)
    with pytest.raises(DatasetError, match="two classes of 70 crops or more"):
        crops(root, rules=CropRules()).prepare_training()
    with pytest.raises(DatasetError, match="needs 3 crops in train from 9 drives"):
        crops(root, rules=CropRules(train=3, train_groups=9, evaluation=1)).prepare_training()


def test_all_folds_have_the_same_classes(root):
    place = sorted((root / "gtFine").rglob("*.json"))
    for path in place[: FRAMES * (DRIVES - 3)]:  # a bus is in the last three drives only
        content = json.loads(path.read_text())
        content["objects"] = [each for each in content["objects"] if each["label"] != "bus"]
        path.write_text(json.dumps(content))
    made = [crops(root, folds=5, fold=fold) for fold in range(5)]
    for data in made:
        data.prepare_training()
        assert data.label_space.classes == ("person", "car")
        assert "Left out as too rare: bus (6); a class needs 5 crops of 4 drives." in data.notes
        assert len({sample.group for sample in data.table.samples if sample.split == "test"}) == 2
    tested = [name for data in made for name in (data.names[index] for index in data.indices("test"))]
    assert sorted(tested) == sorted(made[0].names)
    again = crops(root, rules=CropRules(train=3, train_groups=1, evaluation=1), folds=5, fold=2)
    again.prepare_training()
    assert again.label_space.classes == ("person", "car", "bus")


def test_unreadable_frames_are_all_named_or_skipped(root):
    polygons, image = "gtFine/train/001/0_gtFine_polygons.json", "leftImg8bit/train/002/1_leftImg8bit.png"
    (root / image).write_bytes(b"")
    with pytest.raises(DatasetError, match=image):
        crops(root).prepare_training()
    (root / polygons).write_text("{")
    data = crops(root, on_corrupt="skip")
    data.prepare_training()
    assert [name for name, _ in data.skipped] == [image, "leftImg8bit/train/001/0_leftImg8bit.png"]
    assert len(data.table) == (DRIVES * FRAMES - 2) * 3
    (root / image).unlink()
    with pytest.raises(DatasetError, match="polygon files have no image, first gtFine/train/002/1_gtFine"):
        crops(root, on_corrupt="skip").prepare_training()


def test_what_is_remembered_follows_the_files(root):
    every = CropRules(train=1, train_groups=1, evaluation=0)
    assert crops(root, every).find() == crops(root, every).find()
    path = root / "gtFine/train/000/0_gtFine_polygons.json"
    path.write_text(path.read_text().replace('"bus"', '"truck"'))
    assert {found.target for found in crops(root, every).find()} == {"car", "person", "bus", "truck"}


def test_a_fingerprint_follows_image_polygons_and_margin(root):
    data = crops(root)
    name = "leftImg8bit/train/000/0_leftImg8bit.png#1"
    prints = [data.fingerprint(name)]
    for path in (root / "gtFine/train/000/0_gtFine_polygons.json", root / name.removesuffix("#1")):
        path.write_bytes(path.read_bytes() + b" ")
        prints.append(data.fingerprint(name))
    prints.append(crops(root, rules=CropRules(margin=1.5)).fingerprint(name))
    assert all(one != other for one, other in pairwise(prints))


def test_a_polygon_file_for_another_size_is_refused(root):
    path = root / "gtFine/train/000/0_gtFine_polygons.json"
    path.write_text(path.read_text().replace('"imgWidth": 240', '"imgWidth": 480'))
    with pytest.raises(DatasetError, match="240x100 pixels, its polygon file has 480x100"):
        crops(root).read("leftImg8bit/train/000/0_leftImg8bit.png#1")


@pytest.mark.parametrize(
    ("riders", "rows", "targets"), [("merge", (10, 60), 2), ("drop", (20, 60), 2), ("separate", (20, 60), 3)]
)
def test_riders_are_seen_with_their_two_wheelers_where_asked_for(root, riders, rows, targets):
    for path in (root / "gtFine").glob("*/*/*.json"):
        content = json.loads(path.read_text())
        car, wheel, rider = content["objects"][1:]
        wheel["label"], rider["label"] = "motorcycle", "rider"
        wheel["polygon"] = [[10, 20], [50, 20], [50, 60], [10, 60]]
        rider["polygon"] = [[10, 10], [50, 10], [50, 34], [10, 34]]
        car["polygon"] = [[100, 20], [140, 20], [140, 60], [100, 60]]
        path.write_text(json.dumps(content))
    data = crops(root, CropRules(train=1, train_groups=1, evaluation=0, least_side=20, most_overlap=0.9), riders=riders)
    data.prepare_training()
    assert len(data.label_space.classes) == targets
    names = [sample.name for sample in data.table.samples]
    name = "leftImg8bit/train/000/0_leftImg8bit.png#2"
    assert data.extents([names.index(name)])["object"].tolist() == [[rows[1] - rows[0], 40]]
    side = round(1.15 * max(40, rows[1] - rows[0]))
    top = round((rows[0] + rows[1] - side) / 2)
    image = np.array(Image.open(root / name.removesuffix("#2")))
    left = round((60 - side) / 2)
    np.testing.assert_array_equal(data.read(name), image[top : top + side, left : left + side])
    assert f":{riders}" in data.fingerprint(name)


def test_the_file_of_a_crop_is_that_of_its_frame(root):
    data = crops(root)
    frame = next(root.glob("leftImg8bit/*/*/*"))
    assert data.file(f"{frame.relative_to(root).as_posix()}#3") == frame


def test_ready_masks_have_no_say_in_crops(root):
    with pytest.raises(
        DatasetError, match=r"data\.masks=files is about segmentation; objects are cut out by their polygons"
    ):
        crops(root, masks="files")


def test_polygon_files_for_other_sizes_are_named_before_anything_is_split_or_skipped(root):
    every = CropRules(train=1, train_groups=1, evaluation=0)
    crops(root, every).find()  # is remembered, but not for an image of another size
    for name in ("000/0", "003/1"):
        path = root / f"leftImg8bit/train/{name}_leftImg8bit.png"
        Image.open(path).resize((480, 200)).save(path)
    with pytest.raises(DatasetError, match="2 of 20 frames") as failure:
        crops(root, every).find()
    for name in ("000/0", "003/1"):
        assert f"train/{name}_leftImg8bit.png has 480x200 pixels, its polygon file has 240x100" in str(failure.value)
    data = crops(root, every, on_corrupt="skip")
    assert len(data.find()) == (DRIVES * FRAMES - 2) * 3
    assert len(data.skipped) == 2


def test_baselines_may_know_colour_and_box(root):
    path = root / "gtFine/train/000/0_gtFine_polygons.json"
    content = json.loads(path.read_text())
    content["objects"][3]["polygon"] = [[180, 10], [260, 10], [260, 40], [180, 40]]  # beyond the frame's right side
    path.write_text(json.dumps(content))
    data = crops(root, rules=CropRules(train=1, train_groups=1, evaluation=1, least_side=20, most_overlap=1))
    data.prepare_training()
    names = [sample.name for sample in data.table.samples]
    wide, square = (names.index(f"leftImg8bit/train/000/0_leftImg8bit.png#{index}") for index in (3, 1))
    split = data.table.samples[wide].split
    found = data.baseline_features(split, [wide, square])
    assert list(found) == ["mean_colour", "box_size"]
    expected = np.log([[60, 30, 60 / 240, 30 / 100], [40, 40, 40 / 240, 40 / 100]])
    np.testing.assert_allclose(found["box_size"], expected)
    path.unlink()  # it was read once for all
    extents = data.extents([wide, square, wide])
    assert extents["object"].tolist() == [[30, 60], [40, 40], [30, 60]]  # height, width
    assert extents["image"].tolist() == [[100, 240]] * 3
    path.write_text(json.dumps(content))
    car = data.read(names[square]).reshape(-1, 3).mean(0)  # 40 × 40 red pixels in a grey margin, whatever the size
    np.testing.assert_allclose(found["mean_colour"][1], car, atol=3)
    with pytest.raises(DatasetError, match="has no object 0 to draw"):
        data.read("leftImg8bit/train/000/0_leftImg8bit.png#0")


def test_frames_that_are_turned_alone_are_named(idd, settings):
    root = idd()
    image = root / "leftImg8bit/train/0/0_leftImg8bit.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(image).save(image, exif=exif)
    module = ObjectCropDataModule(settings(root=str(root), split={"train": 0.6, "val": 0.2, "test": 0.2}))
    kept = module.readable_frames(root, find_frames(root))
    assert len(kept) == 22
    (note,) = module.notes
    assert note.startswith("1 images are turned by their EXIF orientation")
    assert "leftImg8bit/train/0/0_leftImg8bit.png" in note
