"""Masks against a naive drawing, and every kind of mask file against what was put into it."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import label_spaces
from datamodules.errors import DatasetError
from datamodules.files import masks
from datamodules.files.idd_polygons import AnnotationError
from datamodules.files.masks import image_mask, polygon_mask
from label_spaces.catalogue import load
from label_spaces.space import NO_ID, LabelSpace

COLUMNS = {
    "idd_level3": "level3Id",
    "idd_level2": "level2Id",
    "idd_level1": "level1Id",
    "idd_cityscapes19": "csTrainId",
}
TABLE = Path(label_spaces.__file__).parent / "tables" / "idd_labels.csv"


def naive(path: Path, column: str) -> np.ndarray:
    """The ids that AutoNUE's json2labelImg would write, straight from the JSON and the label table."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    ids = {row["name"]: int(row[column]) for row in csv.DictReader(lines)}
    content = json.loads(path.read_text())
    picture = Image.new("L", (content["imgWidth"], content["imgHeight"]), 255)
    for thing in content["objects"]:
        if thing.get("deleted") or len(thing["polygon"]) < 3:
            continue
        label = thing["label"]
        if label not in ids and label.endswith("group"):
            label = label[: -len("group")]
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in thing["polygon"]], fill=ids[label])
    return np.array(picture)


def to_ids(mask: np.ndarray, space: LabelSpace) -> np.ndarray:
    return np.array([*space.ids, 255])[mask]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_mask_is_what_the_official_generator_draws(idd, name):
    path = idd() / "gtFine/train/0/0_gtFine_polygons.json"
    mask = polygon_mask(path, load(name))
    assert (mask.dtype, mask.shape) == (np.uint8, (24, 36))
    np.testing.assert_array_equal(to_ids(mask, load(name)), naive(path, COLUMNS[name]))


def test_order_deletion_groups_and_the_frames_edge(idd):
    space = load("idd_level3")
    mask = polygon_mask(idd() / "gtFine/train/0/0_gtFine_polygons.json", space)
    names = [*space.classes, "void"]
    found = {point: names[mask[point]] for point in [(0, 0), (23, 0), (11, 6), (14, 22), (0, 34), (9, 9)]}
    assert found == {
        (0, 0): "sky + fallback background",
        (23, 0): "road",
        (11, 6): "car",
        (14, 22): "person + animal",
        (0, 34): "void",
        (9, 9): "sky + fallback background",
    }
    assert space.classes.index("bus") not in mask
    assert space.classes.index("truck") not in mask


def test_an_unknown_label_is_named_with_its_file(idd):
    path = idd() / "gtFine/train/0/0_gtFine_polygons.json"
    path.write_text(path.read_text().replace('"car"', '"spaceshipgroup"'))
    with pytest.raises(
        AnnotationError,
        match=r"0_gtFine_polygons.json: it has the label 'spaceshipgroup', which idd_level3 does not have",
    ):
        polygon_mask(path, load("idd_level3"))


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
@pytest.mark.parametrize("name", COLUMNS)
def test_a_genuine_file_gives_the_official_mask(name):
    path = Path(os.environ["REAL_DATA"]) / "idd_polygons/gtFine/train/000/sample_gtFine_polygons.json"
    mask = polygon_mask(path, load(name))
    assert mask.shape == (1080, 1920)
    np.testing.assert_array_equal(to_ids(mask, load(name)), naive(path, COLUMNS[name]))
    assert len(np.unique(mask)) > 5


SPACE = LabelSpace("three", ("a", "b", "c"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)), ids=(4, 7, 9), void_ids=(200,))
IDS = np.array([[4, 7, 9, 200], [9, 9, 4, 7]], np.uint8)
INDICES = [[0, 1, 2, 3], [2, 2, 0, 1]]


def colours(space: LabelSpace = SPACE) -> np.ndarray:
    return np.array([*space.colours, (0, 0, 0)], np.uint8)[np.array(INDICES)]


def saved(tmp_path: Path, image: Image.Image, name: str = "mask.png") -> Path:
    image.save(tmp_path / name)
    return tmp_path / name


def palette(ids: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids).convert("L")
    image.putpalette([200, 1, 1] * 256)  # misleading on purpose
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(IDS),
        palette(IDS),
        Image.fromarray(IDS.astype(np.uint16)),
        Image.fromarray(colours()),
        Image.fromarray(colours()).convert("RGBA"),
        Image.fromarray(np.stack([IDS] * 3, -1)),
    ],
    ids=["grey", "palette", "16 bit", "colours", "colours with alpha", "ids in three channels"],
)  # fmt: skip
def test_ids_and_colours_become_indices(tmp_path, image):
    mask = image_mask(saved(tmp_path, image), SPACE)
    assert mask.dtype == np.uint8
    assert mask.tolist() == INDICES


def painted(numbers: np.ndarray, palette: dict[int, tuple[int, int, int]]) -> Image.Image:
    """A picture of these numbers in these colours; other entries of its palette are black."""
    image = Image.fromarray(numbers).convert("L")
    image.putpalette(np.array([palette.get(number, (0, 0, 0)) for number in range(256)]).ravel().tolist())
    return image


def test_a_palette_that_contradicts_the_ids_is_refused(tmp_path):
    a, b, c = SPACE.colours
    assert image_mask(saved(tmp_path, painted(IDS, {4: a, 7: b, 9: c})), SPACE).tolist() == INDICES
    # An optimiser has numbered the colours anew; 4 is what it calls b.
    numbers = np.array([[7, 4, 9, 200], [9, 9, 7, 4]], np.uint8)
    with pytest.raises(
        DatasetError, match=r"mask\.png: its palette has the colour of b for the id 4, a; give greyscale"
    ):
        image_mask(saved(tmp_path, painted(numbers, {7: a, 4: b, 9: c})), SPACE)
    # Colours of somebody else, black for some, and none at all say nothing.
    for palette in ({4: b, 7: a, 9: (1, 2, 3)}, {4: a, 9: c}, {}):
        assert image_mask(saved(tmp_path, painted(IDS, palette)), SPACE).tolist() == INDICES
    # Nor do greys, whatever class is painted grey: they are shades to look at.
    grey = LabelSpace("grey", SPACE.classes, ((70, 70, 70), b, c), SPACE.ids, SPACE.void_ids)
    assert image_mask(saved(tmp_path, painted(IDS, {4: (40, 40, 40), 7: (70, 70, 70)})), grey).tolist() == INDICES
    shades = np.minimum(IDS, 9)
    greys = {4: (0, 0, 0), 7: (70, 70, 70)}
    assert image_mask(saved(tmp_path, painted(np.where(shades == 9, 4, shades), greys)), grey)[0].tolist() == [
        0,
        1,
        0,
        0,
    ]
    bare = LabelSpace("bare", SPACE.classes, ids=SPACE.ids, void_ids=SPACE.void_ids)
    twins = LabelSpace("twins", SPACE.classes, (a, a, b), SPACE.ids, SPACE.void_ids)
    for space in (bare, twins):
        assert image_mask(saved(tmp_path, painted(IDS, {4: b, 7: a, 9: c})), space).tolist() == INDICES


def test_a_jpeg_is_no_mask(tmp_path):
    numbers = np.zeros((16, 16), np.uint8)
    numbers[:, 5:] = 2  # which leaves 1 and 3 along the edge: nobody could tell
    path = saved(tmp_path, Image.fromarray(numbers), "mask.jpg")
    assert np.unique(np.asarray(Image.open(path))).tolist() == [0, 1, 2, 3]
    with pytest.raises(DatasetError, match=r"mask\.jpg: it is a JPEG, which changes ids and colours at every edge"):
        image_mask(path, LabelSpace("four", ("a", "b", "c", "d")))


def test_a_mask_of_one_bit_holds_two_classes(tmp_path):
    image = Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).convert("1")
    assert image_mask(saved(tmp_path, image), LabelSpace("two", ("off", "on"))).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.fromarray(IDS + 1), r"it has the ids 5, 8, 10, 201; the ids of three are 4, 7, 9, 200"),
        (Image.fromarray(IDS.astype(np.uint16) + 256), r"it has the ids 260, 263, 265, 456"),
        (Image.fromarray(colours() + 1), r"the unknown colours \(1,1,1\), \(11,21,31\)"),
    ],
)
def test_what_stands_for_nothing_is_named(tmp_path, image, words):
    with pytest.raises(DatasetError, match=rf"mask.png: .*{words}"):
        image_mask(saved(tmp_path, image), SPACE)


def test_files_that_are_no_masks_are_named(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DatasetError, match=r"text\.png: not an image"):
        image_mask(tmp_path / "text.png", SPACE)
    with pytest.raises(DatasetError, match=r"gone\.png: No such file"):
        image_mask(tmp_path / "gone.png", SPACE)


@pytest.mark.parametrize("name", ["pipe.png", "pipe.npy"])
def test_a_pipe_is_refused(tmp_path, monkeypatch, name):
    os.mkfifo(tmp_path / name)
    for reader in ("read_bytes", "open"):
        monkeypatch.setattr(Path, reader, lambda *_: pytest.fail("reading it would not end"))
    with pytest.raises(DatasetError, match=rf"{name}: not a regular file"):
        image_mask(tmp_path / name, SPACE)


def test_colours_that_two_classes_share_or_none_has_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(colours()))
    with pytest.raises(DatasetError, match="classes of pair share a colour"):
        image_mask(path, LabelSpace("pair", ("a", "b"), ((1, 1, 1), (1, 1, 1))))
    with pytest.raises(DatasetError, match="colours, and the label space has none"):
        image_mask(path, LabelSpace("names", ("a", "b")))


def test_black_may_be_a_class(tmp_path):
    space = LabelSpace("night", ("black", "white"), ((0, 0, 0), (255, 255, 255)))
    image = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    assert image_mask(saved(tmp_path, image), space).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "space",
    [
        load("idd_level3"),
        load("cityscapes_labels"),
        LabelSpace("own", ("a", "b", "c"), void_ids=(3, 200, 255)),
        LabelSpace("no void", ("a", "b")),
        LabelSpace("many", tuple(map(str, range(254)))),
        LabelSpace("other", ("a", "b"), ids=(0, 1), void_ids=(255,), further_ids={9: 1}),
    ],
    ids=lambda space: space.name,
)
def test_every_id_becomes_the_index_that_the_label_space_has_for_it(space, tmp_path):
    path = tmp_path / "mask.npy"
    for identity, index in enumerate(space.index_of_id()):
        np.save(path, np.array([[identity]], np.uint8))
        if index == NO_ID:
            with pytest.raises(DatasetError, match=rf"it has the ids {identity};"):
                image_mask(path, space)
        else:
            assert image_mask(path, space)[0, -1] == index


@pytest.mark.parametrize("space", [load("idd_level3"), load("cityscapes_labels")], ids=lambda space: space.name)
def test_every_pixel_of_a_mask_of_several_blocks_is_read(space, tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "BLOCK", 16)
    table = np.array(space.index_of_id())
    ids = np.random.default_rng(0).choice(np.flatnonzero(table != NO_ID), (9, 11)).astype(np.uint8)
    path = tmp_path / "mask.png"
    Image.fromarray(ids).save(path)
    np.testing.assert_array_equal(image_mask(path, space), table[ids])
    for place in (0, 15, 16, 50, 98):  # the first and the last pixel of a block, and the last of all
        changed = ids.copy()
        changed.flat[place] = unknown = int(np.flatnonzero(table == NO_ID)[-1])
        Image.fromarray(changed).save(path)
        with pytest.raises(DatasetError, match=rf"it has the ids {unknown};"):
            image_mask(path, space)
