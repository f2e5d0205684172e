import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.predicted_masks import match

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


def test_masks_of_frames_that_are_not_asked_for_are_no_mistake(tmp_path):
    found = match(IDD[:1], IDD, masks(tmp_path, "7/001.png", "8/001.png", "8/002.png"))
    assert (list(found.files), found.unused) == (IDD[:1], 2)
    assert found.note == "2 masks of frames that are not scored are left aside"


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(DatasetError, match="there is no such folder"):
        match(IDD, IDD, tmp_path / "none")
    with pytest.raises(DatasetError, match="no image files in this folder"):
        match(IDD, IDD, tmp_path)
