import numpy as np
from PIL import Image

from label_spaces.space import LabelSpace
from reports.mask_images import colours, save_colours, save_ids, save_mask

SPACE = LabelSpace("toy", ("red", "green"), colours=((255, 0, 0), (0, 255, 0)), ids=(7, 3), void_ids=(200,))
MASK = np.array([[0, 1, 2], [1, 1, 0]], np.uint8)  # 2 is void


def read(path, mode=None):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image.convert(mode) if mode else image)


def test_colours_are_the_label_spaces_own_and_void_is_black():
    table = colours(SPACE)
    assert (table.shape, table.dtype) == ((256, 3), np.uint8)
    assert table[:3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 0]]


def test_without_colours_the_hues_are_spread_evenly():
    table = colours(LabelSpace("grey", ("a", "b", "c")))
    assert table[:3].argmax(1).tolist() == [0, 1, 2]  # a red, a green and a blue
    assert not table[3:].any()


def test_a_mask_has_indices_as_pixels_and_colours_as_its_palette(tmp_path):
    save_mask(tmp_path / "new/mask.png", MASK, SPACE)
    assert read(tmp_path / "new/mask.png").tolist() == MASK.tolist()
    assert read(tmp_path / "new/mask.png", "RGB").tolist() == colours(SPACE)[MASK].tolist()


def test_ids_and_colours_are_those_of_the_datasets_own_masks(tmp_path):
    save_ids(tmp_path / "ids.png", MASK, SPACE)
    assert read(tmp_path / "ids.png").tolist() == [[7, 3, 200], [3, 3, 7]]
    save_colours(tmp_path / "colours.png", MASK, SPACE)
    assert read(tmp_path / "colours.png")[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 0]]


def test_the_colours_of_many_classes_differ():
    table = colours(LabelSpace("many", tuple(f"c{i}" for i in range(60))))
    assert len({*map(tuple, table[:60].tolist())}) == 60
