import io
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from datamodules.errors import DatasetError
from datamodules.files.images import decode_image, read_image, resize

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "SGI", "DIB", "PCX", "QOI"])
def test_lossless_formats_come_back_exactly(kind, tmp_path):
    path = tmp_path / "a picture=1.img"
    Image.fromarray(PICTURE).save(path, kind)
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, PICTURE)


def test_jpeg_is_as_another_decoder_reads_it():
    content = encoded(Image.fromarray(PICTURE).resize((90, 60)), "JPEG", quality=90)
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_image(content), bgr[..., ::-1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: a.transpose(1, 0, 2)[:, ::-1]),  # the camera was held upright: turn clockwise
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: a.transpose(1, 0, 2)[::-1]),
    ],
)
def test_the_cameras_orientation_is_applied(kind, orientation, shown):
    blocks = np.kron(np.array([[0, 80, 160], [40, 120, 250]], np.uint8), np.ones((16, 16), np.uint8))
    original = np.stack([blocks] * 3, axis=-1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    image = decode_image(encoded(Image.fromarray(original), kind, exif=exif, **options))
    assert image.shape == shown(original).shape
    np.testing.assert_allclose(image.astype(int), shown(original), atol=3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_as_none():
    content = encoded(Image.fromarray(PICTURE), "PNG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff\x00")
    np.testing.assert_array_equal(decode_image(content), PICTURE)


def test_grey_and_black_and_white_fill_three_channels():
    grey = PICTURE[..., 0]
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(grey))), np.stack([grey] * 3, axis=-1))
    bits = grey > 127
    image = decode_image(encoded(Image.fromarray(bits)))
    np.testing.assert_array_equal(image, np.stack([bits * 255] * 3, axis=-1))


def test_a_palette_is_looked_up():
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250])
    expected = [[[10, 20, 30], [200, 0, 0]], [[0, 0, 250], [200, 0, 0]]]
    for kind in ("PNG", "GIF", "BMP"):
        np.testing.assert_array_equal(decode_image(encoded(palette, kind)), expected)


def test_transparent_parts_lie_over_white():
    clear, half, solid = [200, 0, 0, 0], [200, 0, 100, 128], [200, 0, 100, 255]
    content = encoded(Image.fromarray(np.array([[clear, half, solid]], np.uint8)))
    over_white = [round(value * 128 / 255 + 255 * 127 / 255) for value in half[:3]]
    np.testing.assert_allclose(decode_image(content)[0].astype(int), [[255] * 3, over_white, solid[:3]], atol=1)
    grey = encoded(Image.fromarray(np.array([[[90, 0], [90, 255]]], np.uint8)))
    np.testing.assert_array_equal(decode_image(grey)[0], [[255] * 3, [90] * 3])


def test_a_transparent_palette_entry_or_colour_lies_over_white():
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 0, 0])
    for kind in ("PNG", "GIF"):
        image = decode_image(encoded(palette, kind, transparency=0))
        np.testing.assert_array_equal(image, [[[255] * 3, [200, 0, 0]]])
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    image = decode_image(encoded(colour, transparency=(1, 2, 3)))
    np.testing.assert_array_equal(image, [[[255] * 3, [4, 5, 6]]])


def test_cmyk_shows_its_colours():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind, options in {"TIFF": {}, "JPEG": {"quality": 100}}.items():
        image = decode_image(encoded(red, kind, **options))
        np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=6)


def test_other_colour_models_are_converted():
    image = decode_image(encoded(Image.fromarray(PICTURE).convert("LAB"), "TIFF"))
    assert image.shape == PICTURE.shape
    # Compressed: Pillow before 13 writes too few bytes otherwise. libtiff rounds in its own way.
    read = decode_image(encoded(Image.fromarray(PICTURE).convert("YCbCr"), "TIFF", compression="tiff_lzw"))
    expected = np.asarray(Image.fromarray(PICTURE).convert("YCbCr").convert("RGB"))
    np.testing.assert_allclose(read.astype(int), expected, atol=1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused_and_one_is_not(kind):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 120, 240)]
    with pytest.raises(DatasetError, match=r"animated or several pages \(3 frames\)"):
        decode_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert decode_image(encoded(frames[1], kind, save_all=True)).shape == (8, 8, 3)


def test_a_cameras_preview_is_not_an_animation():
    photo = Image.fromarray(PICTURE).resize((64, 48))
    content = encoded(photo, "MPO", save_all=True, append_images=[photo.resize((32, 24))])
    assert decode_image(content).shape == (48, 64, 3)


JPEG = encoded(Image.fromarray(PICTURE).resize((640, 480)), "JPEG")
PNG = encoded(Image.fromarray(np.random.default_rng(2).integers(0, 256, (99, 99, 3), dtype=np.uint8)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"this is text", "not an image"),
        (b"\xff\xd8\xff\xe0 and then nothing", "not an image|damaged"),
        (JPEG[: len(JPEG) // 2], "damaged: .*truncated"),
        (JPEG[:-10], "damaged: .*truncated"),
        (PNG[: len(PNG) // 2], "damaged"),
        (PNG[:200] + b"\0\0\0\0" + PNG[204:], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not an image"),
    ],
)
def test_what_is_no_whole_image_is_refused_with_the_reason(content, reason, tmp_path):
    path = tmp_path / "a b=c.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=reason) as refusal:
        read_image(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_pixels_without_a_scale_are_refused():
    for values in (np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70000, np.int32)):
        with pytest.raises(DatasetError, match="no fixed scale"):
            decode_image(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("device", [None, "/dev/zero"])
def test_a_pipe_or_a_device_is_not_read(tmp_path, monkeypatch, device):
    path = tmp_path / "a.jpg"
    path.symlink_to(device) if device else os.mkfifo(path)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("reading it would not end"))
    with pytest.raises(DatasetError, match=r"a\.jpg: not a regular file"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no\.jpg: No such file"):
        read_image(tmp_path / "no.jpg")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DatasetError, match=r"damaged: .*exceeds limit"):
        decode_image(encoded(Image.fromarray(PICTURE)))


def test_shrinking_averages_areas():
    image = resize(PICTURE, (2, 3))
    blocks = PICTURE.reshape(2, 3, 3, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(image.astype(float), blocks, atol=0.51)


def test_growing_interpolates_and_the_same_size_is_left_alone():
    grown = resize(np.array([[[0] * 3, [100] * 3]], np.uint8), (1, 4))
    np.testing.assert_array_equal(grown[0, :, 0], [0, 25, 75, 100])
    np.testing.assert_array_equal(resize(PICTURE, PICTURE.shape[:2]), PICTURE)


def test_one_side_may_shrink_while_the_other_grows():
    image = resize(PICTURE, (12, 3))
    columns = PICTURE.reshape(6, 3, 3, 3).mean(axis=2)
    assert image.shape == (12, 3, 3)
    np.testing.assert_allclose(image[[0, -1]].astype(float), columns[[0, -1]], atol=1)


def test_an_upright_copy_is_made_as_pillow_makes_it():
    photo = Image.fromarray(PICTURE)
    exif = photo.getexif()
    exif[0x0112] = 6
    content = encoded(photo, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(decode_image(content), expected)


def test_a_name_that_no_table_can_hold_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(DatasetError, match=r"caf\\udce9\.png: its name is not valid UTF-8; rename it"):
        read_image(path)


def gradient(kind, side, **settings):
    yy, xx = np.mgrid[: side[0], : side[1]]
    picture = np.stack([xx * 255 // side[1], yy * 255 // side[0], (xx + yy) % 256], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("side", "least", "scale"),
    [
        ((240, 320), (30, 40), 4), ((240, 320), (60, 80), 2), ((240, 320), (100, 120), 2), ((240, 320), (121, 100), 1),
        ((240, 320), (120, 160), 1), ((320, 240), (8, 8), 8),
    ],
)  # fmt: skip
def test_a_jpeg_is_decoded_no_smaller_than_what_is_needed(tmp_path, side, least, scale):
    path = tmp_path / "a.jpg"
    path.write_bytes(gradient("JPEG", side, quality=95))
    found = read_image(path, least=least)
    # In any orientation: the longer side of what is needed must fit into the shorter one of what is decoded.
    assert found.shape == (side[0] // scale, side[1] // scale, 3)
    by_area = cv2.resize(read_image(path), found.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - by_area).mean() < 3


def test_a_png_is_decoded_whole(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(gradient("PNG", (240, 320)))
    assert np.array_equal(read_image(path, least=(8, 8)), read_image(path))


def test_a_picture_of_400_megapixels_in_50_kilobytes_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")  # 50 kB; 1.2 GB as RGB
    began = time.process_time()
    with pytest.raises(DatasetError, match=r"bomb\.png: damaged: Image size \(400000000 pixels\) exceeds limit"):
        read_image(tmp_path / "bomb.png")
    assert time.process_time() - began < 1
