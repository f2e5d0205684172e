import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.images import decode_image
from tests.datamodules.files.test_images import encoded


def test_greyscale_of_16_bit_is_scaled_to_the_nearest_not_clipped():
    wide = np.array([[0, 128, 129, 257, 30000, 65407, 65535]], np.uint16)
    expected = np.rint(wide / 65535 * 255)
    for kind in ("PNG", "TIFF"):
        image = decode_image(encoded(Image.fromarray(wide), kind))
        np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=-1))
    pgm = b"P5 7 1 65535\n" + wide.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode_image(pgm)[..., 0], expected)


def test_colour_of_16_bit_is_scaled():
    wide = np.random.default_rng(1).integers(0, 65536, (5, 4, 3), dtype=np.uint16)
    content = cv2.imencode(".png", wide)[1].tobytes()
    np.testing.assert_allclose(decode_image(content)[..., ::-1].astype(float), wide / 257, atol=1)


def png(values, bits=16, extra=b""):
    """A PNG of greys (H, W), colours (H, W, 3) or grey and alpha (H, W, 2), written chunk by chunk."""
    values = np.asarray(values)
    kind = {2: 0, 3: {3: 2, 4: 6, 2: 4}.get(values.shape[-1])}[values.ndim]
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0))
    notes = chunk(b"sBIT", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + head + notes + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [8, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "key"])
def test_pixels_of_fewer_bits_than_their_file_are_scaled_by_what_is_certain_or_refused(depth, channels, kind):
    greys = np.random.default_rng(depth).integers(0, 2**depth, (40, 50, channels)[: 2 + (channels > 1)])
    greys[0, 0] = 2**depth - 1
    expected = np.rint(greys / (2**depth - 1) * 255)
    expected = expected if channels == 3 else np.stack([expected] * 3, axis=-1)
    if kind == "TIFF":
        content = cv2.imencode(
            ".tif", greys.astype(np.uint16)[..., ::-1] if channels == 3 else greys.astype(np.uint16)
        )[1].tobytes()
    else:
        content = png(greys, extra=bytes([depth] * channels) if kind == "PNG" else b"")
    if kind == "PNG":  # the file's own chunk of significant bits
        np.testing.assert_array_equal(decode_image(content), expected)
        return
    with pytest.raises(DatasetError, match=rf"16-bit pixels up to {2**depth - 1} only.* data\.bit_depth={depth} "):
        decode_image(content)
    np.testing.assert_array_equal(decode_image(content, depth), expected)
    if depth > 8:
        with pytest.raises(DatasetError, match=r"more than 8 bits \(data\.bit_depth\)"):
            decode_image(content, 8)


def test_a_dark_picture_of_16_bit_is_read_once_that_is_typed():
    dark = np.array([[0, 300, 5000, 16383]])
    with pytest.raises(DatasetError, match=r"up to 16383 only.*data\.bit_depth=14 .*data\.bit_depth=16 "):
        decode_image(png(dark))
    np.testing.assert_array_equal(decode_image(png(dark), 16)[..., 0], np.rint(dark / 65535 * 255))
    assert not decode_image(png(np.zeros((3, 4)))).any()  # black on every scale


def test_significant_bits_that_are_shifted_to_the_highest_ones_are_read_as_png_wants_it():
    twelve = np.array([[0, 300, 1023, 2047]])
    content = png(twelve << 4 | twelve >> 8, extra=bytes([12]))
    np.testing.assert_allclose(decode_image(content)[..., 0], twelve / 4095 * 255, atol=0.6)
    with pytest.raises(DatasetError, match="no certain scale"):  # very dark and shifted, or of 12 bit and even
        decode_image(png(np.array([[0, 16, 32, 4080]]), extra=bytes([12])))


def test_tiff_of_12_bit_is_scaled_by_its_own_header():
    pairs = [0x000, 0xFFF, 0x800, 0x123]
    data = bytes.fromhex("".join(f"{value:03x}" for value in pairs))
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 134), (277, 1), (278, 1), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries
    content = content.ljust(134, b"\0") + data
    np.testing.assert_array_equal(decode_image(content)[0, :, 0], [round(value / 4095 * 255) for value in pairs])


def test_32_bit_pixels_have_no_scale_even_where_they_are_few():
    for values in (np.array([[0, 255]], np.int32), np.array([[0, 65535]], np.int32)):
        with pytest.raises(DatasetError, match="32-bit pixels have no fixed scale"):
            decode_image(encoded(Image.fromarray(values), "TIFF"))


def test_portable_maps_are_scaled_by_the_largest_value_in_their_header():
    greys = np.array([[0, 1000, 2000, 4095]])
    content = b"P5 4 1 4095\n" + greys.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode_image(content)[0, :, 0], np.rint(greys[0] / 4095 * 255))
    colour = b"P6 1 1 4095\n" + np.array([1, 2048, 4095], ">u2").tobytes()
    np.testing.assert_allclose(decode_image(colour)[0, 0], [0, 128, 255], atol=1)
    dark = b"P5 2 1 65535\n" + np.array([0, 5000], ">u2").tobytes()
    np.testing.assert_array_equal(decode_image(dark)[0, :, 0], [0, round(5000 / 257)])


def test_alpha_of_16_bit_stays_where_colours_have_fewer_bits():
    pixels = np.array([[[4095, 0, 2048, 65535], [0, 4095, 0, 0]]])
    np.testing.assert_array_equal(decode_image(png(pixels), 12)[0], [[255, 0, 128], [255, 255, 255]])
    grey = np.array([[[4095, 65535], [2048, 65535]]])
    np.testing.assert_array_equal(decode_image(png(grey), 12)[0], [[255] * 3, [128] * 3])


def test_a_turned_picture_of_few_bits_is_turned_and_scaled():
    wide = np.arange(12, dtype=np.uint16).reshape(3, 4) * 341
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(wide), exif=exif)
    expected = np.rint(wide / 4095 * 255).T[:, ::-1]
    np.testing.assert_array_equal(decode_image(content, 12)[..., 0], expected)
