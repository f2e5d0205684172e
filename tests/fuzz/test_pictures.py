"""Image and mask files of every format that Pillow writes, and arrays."""

import io
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from PIL import Image

from datamodules.files.audit import Finding, inspect_image
from datamodules.files.images import read_image
from datamodules.files.mask_audit import mask_inspector
from datamodules.files.masks import holds_colours, image_mask
from datamodules.files.other_files import kind_of
from label_spaces.space import LabelSpace
from tests.fuzz.mutations import changed_bytes, check, fuzzed, profile

SPACE = LabelSpace("own", ("road", "car", "sky"), colours=((1, 2, 3), (4, 5, 6), (7, 8, 9)))
PIXELS = np.random.default_rng(0).integers(0, 3, (12, 17, 3), dtype=np.uint8)
MODES = ("RGB", "L", "P", "RGBA", "1", "F", "LA", "CMYK")
LEFT_OUT = ("PDF", "PALM", "ICNS")  # the first are not read; ICNS has ten pictures in a megabyte


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def originals() -> list[bytes]:
    Image.init()
    found = []
    for kind in sorted(set(Image.SAVE) - set(LEFT_OUT)):
        for mode in MODES:
            try:
                found.append(encoded(Image.fromarray(PIXELS).convert(mode), kind))
            except (OSError, KeyError, ValueError):  # a format without this mode
                continue
    picture, exif = Image.fromarray(PIXELS), Image.Exif()
    exif[274] = 6
    found += [encoded(picture, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "packbits", "tiff_deflate")]
    found += [encoded(picture, "JPEG", exif=exif), cv2.imencode(".png", PIXELS.astype(np.uint16) * 9000)[1].tobytes()]
    return found


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, PIXELS[..., 0])
    return content.getvalue()


ORIGINALS = originals()
STAMP = Finding(1, 1)


def test_the_originals_are_of_many_formats() -> None:
    kinds = Counter(Image.open(io.BytesIO(content)).format for content in ORIGINALS)
    assert len(kinds) > 20
    assert {"PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM"} <= kinds.keys()


@fuzzed(150, 2000)
def test_changed_pictures(tmp_path: Path, cases: int) -> None:
    file, refused = tmp_path / "a.png", 0
    inspect = mask_inspector(lambda path: image_mask(path, SPACE), SPACE.void)
    readers = (
        lambda: read_image(file),
        lambda: read_image(file, 12, (4, 4)),
        lambda: inspect_image(file, STAMP),
        lambda: inspect(file, STAMP),
        lambda: holds_colours(file),
        lambda: kind_of(file.with_name("a"), {".png"}),
    )

    @profile(cases)
    @given(changed_bytes(ORIGINALS))
    def run(content: bytes) -> None:
        nonlocal refused
        refused += check(file, content, *readers)

    run()
    assert refused > cases / 10


@fuzzed(50, 700)
def test_changed_arrays(tmp_path: Path, cases: int) -> None:
    file, refused = tmp_path / "a.npy", 0

    @profile(cases)
    @given(changed_bytes([array()]))
    def run(content: bytes) -> None:
        nonlocal refused
        refused += check(file, content, lambda: image_mask(file, SPACE))

    run()
    assert refused > cases / 10
