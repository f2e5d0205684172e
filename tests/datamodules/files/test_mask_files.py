"""Mask files as tools write them: each is read as what was meant, or refused by name."""

import io
import pathlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.audit import audit
from datamodules.files.images import read_image
from datamodules.files.mask_audit import mask_inspector
from datamodules.files.masks import UnknownIdsError, holds_colours, ids_found, image_mask
from label_spaces.catalogue import load
from label_spaces.space import LabelSpace
from tests.datamodules.files.test_images_bit_depth import png

SPACE = LabelSpace("many", tuple(f"c{i}" for i in range(16)), void_ids=(255,))
TWO = LabelSpace("two", ("off", "on"), ids=(0, 255))
IDS = np.arange(6, dtype=np.uint8).reshape(2, 3)

# The EXIF standard's eight orientations, pixel by pixel: where a shown row and column lie in what is stored.
STORED = {
    1: lambda row, column, height, width: (row, column),
    2: lambda row, column, height, width: (row, width - 1 - column),
    3: lambda row, column, height, width: (height - 1 - row, width - 1 - column),
    4: lambda row, column, height, width: (height - 1 - row, column),
    5: lambda row, column, height, width: (column, row),
    6: lambda row, column, height, width: (height - 1 - column, row),
    7: lambda row, column, height, width: (height - 1 - column, width - 1 - row),
    8: lambda row, column, height, width: (column, width - 1 - row),
}


def upright(stored, orientation):
    """What a viewer shows of stored pixels (H, W, …), one at a time."""
    height, width = stored.shape[:2]
    rows, columns = (height, width) if orientation < 5 else (width, height)
    place = STORED[orientation]
    return np.array([[stored[place(r, c, height, width)] for c in range(columns)] for r in range(rows)])


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["ids", "palette", "colours", "16 bit", "TIFF", "WEBP"])
def test_a_mask_is_turned_as_its_image_is(tmp_path, orientation, kind):
    space, image = SPACE, Image.fromarray(IDS)
    if kind == "palette":
        image.putpalette([9, 9, 9] * 256)
    elif kind in ("colours", "WEBP"):
        space = LabelSpace("many", SPACE.classes, tuple((10 * i + 1, i, 250 - i) for i in range(16)))
        image = Image.fromarray(np.array(space.colours, np.uint8)[IDS])
    elif kind == "16 bit":
        image = Image.fromarray(IDS.astype(np.uint16))
    format_, options = (kind, {"lossless": True} if kind == "WEBP" else {}) if kind in ("TIFF", "WEBP") else ("PNG", {})
    image.save(tmp_path / "mask.img", format_, exif=turned(orientation), **options)
    Image.fromarray(np.stack([IDS] * 3, -1)).save(tmp_path / "image.png", exif=turned(orientation))
    expected = upright(IDS, orientation)
    np.testing.assert_array_equal(image_mask(tmp_path / "mask.img", space), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png")[..., 0], expected)
    inspect = mask_inspector(lambda path: image_mask(path, space), space.void)
    found = audit(tmp_path, ["mask.img"], tmp_path / "cache", kind="masks", inspect=inspect)["mask.img"]
    assert (found.height, found.width) == expected.shape
    image_found = audit(tmp_path, ["image.png"], tmp_path / "cache")["image.png"]
    assert (image_found.height, image_found.width, image_found.orientation) == (*expected.shape, orientation)


@pytest.mark.parametrize(("bits", "ids"), [(2, [0, 1, 2, 3]), (4, [0, 1, 9, 15])])
def test_greys_of_few_bits_are_ids_and_not_shades(tmp_path, bits, ids):
    packed = int("".join(f"{identity:0{bits}b}" for identity in ids), 2).to_bytes(4 * bits // 8)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + packed)) + chunk(b"IEND", b"")
    (tmp_path / "mask.png").write_bytes(content)
    assert image_mask(tmp_path / "mask.png", SPACE).tolist() == [ids]


@pytest.mark.parametrize(
    "mask",
    [
        Image.fromarray(np.array([[0, 255]], np.uint8)),
        Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").convert("L"),
        Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGB"),
        Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGBA"),
        Image.fromarray(np.array([[0, 255]], np.uint8)).convert("LA"),
    ],
)
def test_black_and_white_masks_hold_0_and_255(tmp_path, mask):
    mask.save(tmp_path / "mask.png")
    assert image_mask(tmp_path / "mask.png", TWO).tolist() == [[0, 1]]


def test_transparency_is_refused_unless_nothing_is_transparent(tmp_path):
    space = LabelSpace("pair", ("a", "b"), ((200, 0, 0), (0, 200, 0)))
    pixels = np.array([[[200, 0, 0, 255], [0, 200, 0, 255]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "solid.png")
    assert image_mask(tmp_path / "solid.png", space).tolist() == [[0, 1]]
    for name, alpha in (("clear", 0), ("half", 254)):
        pixels[0, 1, 3] = alpha
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        with pytest.raises(DatasetError, match=rf"{name}\.png: parts of it are transparent"):
            image_mask(tmp_path / f"{name}.png", space)
    palette = Image.fromarray(IDS, "P")
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "palette.png", transparency=0)  # how it is shown does not change the ids
    np.testing.assert_array_equal(image_mask(tmp_path / "palette.png", SPACE), IDS)


def test_lossy_formats_are_refused(tmp_path):
    big = Image.fromarray(np.kron(IDS, np.ones((16, 16), np.uint8)))
    for name, kind, options in (
        ("a.webp", "WEBP", {"quality": 90}), ("a.tif", "TIFF", {"compression": "jpeg"}), ("a.jp2", "JPEG2000", {}), ("a.avif", "AVIF", {}),
    ):  # fmt: skip
        (big.convert("RGB") if kind in ("WEBP", "AVIF") else big).save(tmp_path / name, kind, **options)
        with pytest.raises(DatasetError, match=rf"{name}: it is a {kind} with lossy compression"):
            image_mask(tmp_path / name, SPACE)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pgm", b"P5\n# ours\n3 1\n15\n\x00\x01\x0f", "scaled by the maximum in its header"),
        ("a.png", png(np.zeros((2, 2, 3), int)), "16 bits a channel"),
        (
            "a.tif",
            cv2.imencode(".tif", np.full((2, 2), 1.5, np.float32))[1].tobytes(),
            "neither ids nor RGB colours, but F",
        ),
        ("a.npy", b"\x93NUMPY", "not an array of whole numbers"),
    ],
)
def test_what_may_have_been_changed_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{name}: .*{words}"):
        image_mask(tmp_path / name, SPACE)


def test_other_colour_models_and_several_pages_are_refused(tmp_path):
    Image.new("CMYK", (3, 3)).save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"neither ids nor RGB colours, but CMYK"):
        image_mask(tmp_path / "a.tif", SPACE)
    pages = [Image.fromarray(IDS + i) for i in (0, 1)]
    for name in ("b.tif", "b.png", "b.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(DatasetError, match=rf"{name}: animated or several pages \(2 frames\)"):
            image_mask(tmp_path / name, SPACE)


def test_a_portable_map_of_the_whole_range_holds_ids(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 1\n255\n\x00\x01\x0f")
    assert image_mask(tmp_path / "a.pgm", SPACE).tolist() == [[0, 1, 15]]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint16, np.int32, bool])
def test_arrays_hold_ids(tmp_path, kind):
    ids = np.array([[0, 1, 1], [1, 0, 0]]).astype(kind)
    np.save(tmp_path / "mask.npy", ids)
    mask = image_mask(tmp_path / "mask.npy", SPACE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, ids)
    assert not holds_colours(tmp_path / "mask.npy")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[{}]], dtype=object), "not an array of whole numbers .*pickle"),
        (np.zeros((2, 2), np.float64), r"float64 of the shape \(2, 2\); a mask is an array \(height, width\)"),
        (
            np.zeros((3, 2, 2), np.float32),
            r"float32 of the shape \(3, 2, 2\); a mask is .*; of scores of the classes take numpy\.argmax",
        ),
        (np.zeros((2, 2, 3), np.uint8), r"shape \(2, 2, 3\)"),
        (np.zeros((0, 2), np.uint8), r"shape \(0, 2\)"),
        (np.array([[-1, 300]]), "it has the ids -1, 300"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, words):
    np.save(tmp_path / "mask.npy", array, allow_pickle=True)
    with pytest.raises(DatasetError, match=rf"mask\.npy: .*{words}"):
        image_mask(tmp_path / "mask.npy", SPACE)


def test_an_archive_of_arrays_is_refused(tmp_path):
    file = io.BytesIO()
    np.savez(file, IDS)
    (tmp_path / "mask.npy").write_bytes(file.getvalue())
    with pytest.raises(DatasetError, match="it holds an archive"):
        image_mask(tmp_path / "mask.npy", SPACE)


def test_all_ids_of_a_mask_with_unknown_ones_are_known(tmp_path):
    Image.fromarray(np.array([[7, 26001], [3, 26002]], np.uint16)).save(tmp_path / "ids.png")
    with pytest.raises(UnknownIdsError, match=r"ids\.png: it has the ids 26001, 26002; the ids of many are") as refusal:
        image_mask(tmp_path / "ids.png", SPACE)
    assert refusal.value.ids == [3, 7, 26001, 26002]


def test_colours_of_no_class_become_void(tmp_path):
    space = LabelSpace("pair", ("a", "b"), ((200, 0, 0), (0, 200, 0)), void_colours=((224, 224, 192), (0, 0, 0)))
    pixels = np.array([[[200, 0, 0], [224, 224, 192], [0, 0, 0], [0, 200, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert image_mask(tmp_path / "mask.png", space).tolist() == [[0, 2, 2, 1]]


def test_unknown_colours_are_answered_with_the_label_spaces_that_have_them(tmp_path):
    Image.fromarray(np.array(load("voc21").colours, np.uint8)[None]).save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match=r"label spaces with all of its colours are voc21"):
        image_mask(tmp_path / "mask.png", LabelSpace("mine", ("a", "b")))


def test_the_ids_in_a_folder(tmp_path):
    Image.fromarray(np.array([[7, 26]], np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.array([[11, 300]]))
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_text("no image")
    assert ids_found(tmp_path) == {7, 26, 11, 300}
    assert ids_found(tmp_path / "none") == set()


def header(shape):
    """The beginning of an array file of a shape that it does not hold."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue() + bytes(9)


UNCLOSED = header((3, 3)).replace(b"(3, 3)", b"(3, 3 ")  # numpy's own tokenizer fails


@pytest.mark.parametrize(
    "content", [header((10**6, 10**6)), header((2**40, 2**40)), UNCLOSED, header((3, 4)), b"\x93NUMPY"]
)
def test_an_array_file_with_a_lying_header_is_named(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.npy: not an array of whole numbers"):
        image_mask(tmp_path / "a.npy", SPACE)


def test_an_array_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.npy: No such file"):
        image_mask(tmp_path / "a.npy", SPACE)


@pytest.mark.parametrize(
    "content", [b"P4\n17 ", b"#define im_width 17\n#define im_height", b"qoif\x7f\xff\xff\xff\x7f\xff\xff\xff\x04\x01"]
)
def test_a_damaged_picture_is_not_asked_for_its_colours(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.png"):
        holds_colours(tmp_path / "a.png")


class Payload:
    """A pickle of this creates a file when it is read by a careless reader."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return pathlib.Path.touch, (self.canary,)


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Payload(tmp_path / "canary")]], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"a\.npy: not an array of whole numbers"):
        image_mask(tmp_path / "a.npy", SPACE)
    assert not (tmp_path / "canary").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)  # the payload is a real one
    assert (tmp_path / "canary").exists()
