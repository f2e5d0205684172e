"""Files of masks and overlays: each picture has its own, on any file system."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from label_spaces.space import LabelSpace
from reports.picture_masks import PictureMasks, mask_names
from run_folder import atomic

SPACE = LabelSpace("toy", ("road", "sky"), colours=((9, 9, 9), (0, 0, 255)))


def test_masks_have_the_size_of_their_pictures_and_shares_leave_void_out(tmp_path):
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png")
    found = PictureMasks(tmp_path / "out", [tmp_path / "a.png"], SPACE).save(0, np.array([[0, 1], [1, 2]], np.uint8))
    assert found == [0.25, 0.5]
    mask = np.array(Image.open(tmp_path / "out/masks/a.png"))
    np.testing.assert_array_equal(mask, np.array([[0, 1], [1, 2]]).repeat(2, 0).repeat(4, 1))
    assert Image.open(tmp_path / "out/overlays/a.png").size[0] >= 8


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["a.jpg", "b.png"], ["a.png", "b.png"]),
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
        (["a.jpg", "a.png", "a.jpg.gif"], ["a.jpg_2.png", "a.png.png", "a.jpg.png"]),
        (["a.jpg", "deep/a.jpg"], ["a.png", "deep/a.png"]),
        (["one/a.jpg", "two/a.jpg"], ["one/a.png", "two/a.png"]),
        (["one/x/../a.jpg", "two/../../out/a.jpg"], ["in/one/a.png", "out/a.png"]),
        (["A.jpg", "a.jpg"], ["A.jpg.png", "a.jpg_2.png"]),
        (["caf\u00e9.jpg", "cafe\u0301.jpg"], ["caf\u00e9.jpg.png", "cafe\u0301.jpg_2.png"]),
        (["a.jpg", "a.png/b.jpg"], ["a_2.png", "a.png/b.png"]),
        (["photo", "photo.png"], ["photo.png", "photo.png.png"]),
        (["a.b.jpg", "a.c.jpg"], ["a.b.png", "a.c.png"]),
    ],
)
def test_each_image_has_a_mask_of_its_own(images, masks):
    assert mask_names([Path("/pictures/in", image) for image in images]) == masks


@pytest.mark.parametrize("seed", range(40))
def test_masks_of_any_images_are_different_files_on_any_file_system(tmp_path, seed):
    draws = np.random.default_rng(seed)
    parts = [
        "a",
        "A",
        "b",
        "caf\u00e9",
        "cafe\u0301",
        "a.png",
        "a.jpg",
        "a_2",
        "x" * 251,
        "x" * 250 + "y",
        "\u00e9" * 125,
        " ",
        "a\nb",
        "-a",
        "a=b",
    ]
    endings = [".jpg", ".png", ".JPG", ".bw", ""]
    images: set[str] = set()
    for _ in range(40):
        folders = draws.choice(parts, draws.integers(0, 3)).tolist()
        name = "/".join([*folders, f"{draws.choice(parts)}{draws.choice(endings)}"])
        images.add(name)
    # What cannot be on a disk: a name that is too long, or that of a file and of a folder.
    folders = {parent.as_posix() for image in images for parent in Path(image).parents}
    paths = [Path(tmp_path, image) for image in sorted(images - folders) if len(Path(image).name.encode()) <= 255]
    names = mask_names(paths)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(paths)
    for number, name in enumerate(names):
        path = tmp_path / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            file.write(str(number).encode())
    assert [(tmp_path / "masks" / name).read_text() for name in names] == [str(n) for n in range(len(names))]
