"""Masks made elsewhere: which frame each belongs to, and how they compare with the truth."""

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.predicted_masks import count, match
from label_spaces.catalogue import load
from tests.datamodules.conftest import SIZE, scene
from tests.datamodules.files.test_mask_files import STORED, turned, upright

IDD = [
    "leftImg8bit/val/7/001_leftImg8bit.png",
    "leftImg8bit/val/8/001_leftImg8bit.jpg",
    "leftImg8bit/val/8/002_leftImg8bit.jpg",
]
LITE = ["leftImg8bit/val/0/024541_image.jpg", "leftImg8bit/val/3/024541_image.jpg"]
FOLDER = ["images/street.jpg", "images/train/lane.png", "images/val/lane.png"]


def masks(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(tmp_path / name, "PNG")
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (IDD, ("7/001_gtFine_labellevel3Ids.png", "8/001_gtFine_labelcsTrainIds.png", "8/002_gtFine_labelids.png")),
        (IDD, ("gtFine/val/7/001_gtFine_labelIds.png", "gtFine/val/8/001.png", "gtFine/val/8/002.png")),
        (IDD, ("7/001_leftImg8bit.png", "8/001.png", "002.png")),
        (LITE, ("0/024541_label.png", "3/024541_image.png")),
        (FOLDER, ("street.png", "train/lane.png", "val/lane.PNG")),
        (FOLDER, ("deep/street.png", "train/lane.png", "val/lane.bmp")),
    ],
)
def test_masks_are_found_by_the_frames_name_or_idds(tmp_path, wanted, names):
    found = match(wanted, wanted, masks(tmp_path, *names))
    assert [found.files[name] for name in wanted] == list(names)
    assert not any(found.problems.values())
    assert (found.unused, found.note) == (0, "")


@pytest.mark.parametrize("suffix", ["_pred", "_mask", "-seg", "_color_mask", ".jpg", "_pred.class"])
@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["images/a.jpg", "images/b_2.jpg"], ("a", "b_2")),
        (["images/x/a.jpg", "images/y/a.jpg"], ("x/a", "deep/y/a")),
        (LITE, ("0/024541", "3/024541")),
    ],
)
def test_a_suffix_that_all_masks_have_is_no_part_of_the_name(tmp_path, suffix, wanted, names):
    found = match(wanted, wanted, masks(tmp_path, *(f"{name}{suffix}.png" for name in names)))
    assert [found.files.get(name) for name in wanted] == [f"{name}{suffix}.png" for name in names]
    assert not any(found.problems.values())


def test_a_suffix_is_part_of_the_name_where_frames_have_it_or_not_all_masks_do(tmp_path):
    frames = ["images/a.jpg", "images/a_pred.jpg"]
    assert match(frames, frames, masks(tmp_path / "own", "a_pred.png")).files == {frames[1]: "a_pred.png"}
    mixed = match(frames[:1], frames[:1], masks(tmp_path / "mixed", "a_pred.png", "a_depth.png"))
    assert mixed.problems["belong to no frame of the dataset"] == ["a_depth.png", "a_pred.png"]
    depths = match(frames[:1], frames[:1], masks(tmp_path / "depths", "a_depth.png"))
    assert depths.problems["frames have no mask"] == frames[:1]


def test_what_is_wrong_with_names_has_a_kind_each(tmp_path):
    names = (
        "001.png",
        "8/002.png",
        "8/002_gtFine_labelIds.png",
        "9/002.png",
        "8/003.png",
        ".8/hidden.png",
        "notes.csv",
    )
    found = match(IDD[:1] + IDD[2:], IDD, masks(tmp_path, *names))
    assert {kind: rest for kind, rest in found.problems.items() if rest} == {
        "fit several frames; put them into a folder per drive": [f"001.png ({IDD[0]} and {IDD[1]})"],
        "are second masks of a frame": ["8/002_gtFine_labelIds.png (beside 8/002.png)"],
        "belong to no frame of the dataset": ["8/003.png", "9/002.png"],
        "frames have no mask": [IDD[0]],
    }


def test_masks_of_other_frames_are_left_aside(tmp_path):
    found = match(IDD[:1], IDD, masks(tmp_path, "7/001.png", "8/001.png", "8/002.png"))
    assert (list(found.files), found.unused) == (IDD[:1], 2)
    assert found.note == "2 masks of frames that are not scored are left aside"


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(DatasetError, match="there is no such folder"):
        match(IDD, IDD, tmp_path / "none")
    with pytest.raises(DatasetError, match="no image files in this folder"):
        match(IDD, IDD, tmp_path)


def predicted(folder, *ids):
    """The masks of IDD-Lite's val, as ids."""
    for (drive, frame), mask in zip([(20, 0), (20, 1), (21, 0), (21, 1)], ids, strict=True):
        (folder / f"{drive:03}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / f"{drive:03}/{frame}_label.png")
    return folder


def test_every_pixel_is_counted_by_its_true_and_its_predicted_class(make, tmp_path):
    module = make(own_sizes=True)
    truth = [scene(100 * drive + frame) for drive in (20, 21) for frame in (0, 1)]
    wrong = [np.where(ids == 3, 2, ids) for ids in truth]  # every box of class 3 is taken for 2, which is around it
    names = [module.names[index] for index in module.indices("val")]
    matches = match(names, names, predicted(tmp_path / "masks", *wrong))
    found = count(module, "val", matches, module.label_space)
    expected = np.zeros((8, 8), int)
    for ids in truth:
        for index, identity in enumerate((0, 1, 2, 3, 4, 5, 6, 255)):
            expected[index, 2 if index == 3 else index] += np.count_nonzero(ids == identity)
    np.testing.assert_array_equal(found.confusion, expected)
    assert sorted(found.index.tolist()) == module.indices("val")


def test_masks_that_cannot_be_scored_are_all_named(make, tmp_path):
    module = make(own_sizes=True)
    ids = [scene(1), scene(1, (30, 40)), np.full(SIZE, 9, np.uint8), scene(1)]
    names = [module.names[index] for index in module.indices("val")]
    matches = match(names, names, predicted(tmp_path / "masks", *ids))
    with pytest.raises(DatasetError, match="cannot be scored as val of tiny") as refusal:
        count(module, "val", matches, module.label_space)
    assert "1 have another size than their frame:\n  020/1_label.png (40×30, the frame 36×24)" in str(refusal.value)
    assert "it has the ids 9; the ids of idd_lite are" in str(refusal.value)


def test_names_are_the_same_however_unicode_writes_them(tmp_path):
    wanted = ["images/caf\u00e9/1.jpg", "images/cafe\u0301/2.jpg"]
    found = match(wanted, wanted, masks(tmp_path, "cafe\u0301/1.png", "caf\u00e9/2.png"))
    assert found.files == {wanted[0]: "cafe\u0301/1.png", wanted[1]: "caf\u00e9/2.png"}
    again = match(wanted, wanted, masks(tmp_path, "caf\u00e9/1.png"))
    assert len(again.problems["are second masks of a frame"]) == 1


@pytest.mark.parametrize("orientation", STORED)
def test_a_mask_with_an_orientation_is_turned(make, tmp_path, orientation):
    module = make(own_sizes=True)
    names = [module.names[index] for index in module.indices("val")]
    truth = [scene(100 * drive + frame) for drive in (20, 21) for frame in (0, 1)]
    folder = predicted(tmp_path / "masks", *truth)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    for path, ids in zip(sorted(folder.rglob("*.png")), truth, strict=True):
        Image.fromarray(upright(ids, inverse)).save(path, exif=turned(orientation))
    found = count(module, "val", match(names, names, folder), module.label_space)
    assert np.trace(found.confusion) == found.confusion.sum() == 4 * SIZE[0] * SIZE[1]


def test_arrays_are_predictions(make, tmp_path):
    module = make(own_sizes=True)
    names = [module.names[index] for index in module.indices("val")]
    folder = tmp_path / "masks"
    for drive in (20, 21):
        for frame in (0, 1):
            (folder / f"{drive:03}").mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{drive:03}/{frame}.npy", scene(100 * drive + frame))
    found = count(module, "val", match(names, names, folder), module.label_space)
    assert np.trace(found.confusion) == found.confusion.sum()


def test_ids_of_another_label_space_are_answered_with_what_to_type(make, tmp_path):
    module = make(own_sizes=True, label_space="idd_level1")
    names = [module.names[index] for index in module.indices("val")]
    folder = predicted(tmp_path / "masks", *[np.full(SIZE, each, np.uint8) for each in (7, 11, 26, 33)])
    with pytest.raises(
        DatasetError, match=r"type predictions_label_space=cityscapes_labels if they are its classes"
    ) as refusal:
        count(module, "val", match(names, names, folder), load("cityscapes19"))
    assert "voc21" not in str(refusal.value)
    twenty = predicted(tmp_path / "twenty", *[np.full(SIZE, each, np.uint8) for each in (0, 3, 18, 19)])
    with pytest.raises(DatasetError, match=r"type predictions_void_ids=\[19\] if 19 is no class"):
        count(module, "val", match(names, names, twenty), load("cityscapes19"))
    found = count(module, "val", match(names, names, twenty), load("cityscapes19").with_void([19]))
    assert found.confusion[:, -1].sum() == SIZE[0] * SIZE[1]


@pytest.mark.filterwarnings("error")
def test_masks_of_which_none_can_be_read_are_answered_too(make, tmp_path):
    module = make(own_sizes=True)
    names = [module.names[index] for index in module.indices("val")]
    folder = predicted(tmp_path / "masks", *[np.full(SIZE, 77, np.uint8)] * 4)
    with pytest.raises(
        DatasetError, match=r"type predictions_void_ids=\[77\] if 77 is no class; or name each id in a table"
    ):
        count(module, "val", match(names, names, folder), load("cityscapes19"))


@pytest.mark.parametrize(
    ("size", "words"),
    [((20, 36), "type data.eval_size=[20,36]"), ((36, 24), "Height and width of some are exchanged")],
)
def test_masks_that_all_have_another_size_share_a_line_with_what_to_type(make, tmp_path, size, words):
    module = make(own_sizes=True)
    names = [module.names[index] for index in module.indices("val")]
    folder = predicted(tmp_path / "masks", *[scene(1, size)] * 4)
    with pytest.raises(DatasetError) as refusal:
        count(module, "val", match(names, names, folder), module.label_space)
    shared = f"4 are {size[1]}×{size[0]} and their frames 36×24:\n  020/0_label.png"
    assert shared in str(refusal.value)
    assert words in str(refusal.value)


def test_the_size_to_type_is_accepted_and_another_one_is_answered_with_it(make, tmp_path):
    folder = predicted(tmp_path / "masks", *[scene(1, (20, 36))] * 4)
    for size in ((20, 36), (10, 18)):
        module = make(own_sizes=True, eval_size=size)
        names = [module.names[index] for index in module.indices("val")]
        if size == (20, 36):
            assert count(module, "val", match(names, names, folder), module.label_space).confusion.sum() == 4 * 20 * 36
            continue
        with pytest.raises(DatasetError, match=r"of their frame, or that of data\.eval_size=\[10,18\]"):
            count(module, "val", match(names, names, folder), module.label_space)


def test_unknown_ids_of_many_masks_share_a_line(make, tmp_path):
    module = make(own_sizes=True)
    names = [module.names[index] for index in module.indices("val")]
    folder = predicted(tmp_path / "masks", *[np.full(SIZE, 9, np.uint8)] * 4)
    with pytest.raises(DatasetError) as refusal:
        count(module, "val", match(names, names, folder), module.label_space)
    assert str(refusal.value).count("it has the ids 9") == 1
    assert "4 files (020/0_label.png, 020/1_label.png, 021/0_label.png, 021/1_label.png): it has the ids 9" in str(
        refusal.value
    )
