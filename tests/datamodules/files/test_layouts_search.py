"""Which layout a root has, and what is written about one that has none."""

import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.layouts import EQUAL_NAMES, find_layout


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(root / name)
    return root


def test_equal_names_in_images_and_masks_come_first(tmp_path):
    root = touch(tmp_path, "images/a.jpg", "masks/a.png", "imgs/b.jpg", "labels/b.png")
    assert find_layout(root) == EQUAL_NAMES


def test_suffixes_in_images_and_masks(tmp_path):
    layout = find_layout(touch(tmp_path, "images/a.jpg", "masks/a_mask.png"))
    assert (layout.image, layout.mask) == ("images/{name}.*", "masks/{name}_mask.*")


def test_a_folder_with_a_space_is_typed_with_quotes(tmp_path):
    touch(tmp_path, "my data/images/a.jpg", "my data/masks/a.png")
    with pytest.raises(DatasetError) as refusal:
        find_layout(tmp_path)
    assert str(refusal.value).endswith(f"Type 'data.root={tmp_path}/my data'")


def test_several_datasets_in_a_root_are_offered(tmp_path):
    touch(tmp_path, "one/images/a.jpg", "one/masks/a.png", "two/train/a.png", "two/trainannot/a.png")
    with pytest.raises(DatasetError, match=rf"Type data\.root={tmp_path}/one or data\.root={tmp_path}/two$"):
        find_layout(tmp_path)


def test_what_is_there_and_what_to_type_where_names_show_nothing(tmp_path):
    root = (
        tmp_path / "root"
    )  # its own name is neither a split's nor one of masks: the folder around it is not looked at
    root.mkdir()
    (root / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"Found: no images, but notes\.txt\.") as refusal:
        find_layout(root)
    assert str(refusal.value).endswith(
        "\n  'data.image_pattern=images/{name}.jpg' 'data.mask_pattern=masks/{name}.png'"
    )
    touch(root, "x/1.jpg", "x/2.jpg", "y/one.png")
    with pytest.raises(DatasetError, match=r"Found: images in x \(2\), y \(1\)\.") as refusal:
        find_layout(root)
    assert str(refusal.value).endswith("\n  'data.image_pattern=x/{name}.jpg' 'data.mask_pattern=y/{name}.png'")
