"""Pixels of more than 8 bit a channel: how many a file has, and by how many they are scaled, where that is certain."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from datamodules.errors import DatasetError

WIDE_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
DEEP = WIDE_GREY | {"F"}  # modes of greys that need a scale; Pillow reads colours with 8 bits only
FULL_BITS = 16  # of the deepest pixels that are read
CODESTREAM = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 image; 42 bytes on is the depth of its first channel, less one
BITS_PER_SAMPLE = 258  # tag of TIFF


def stored_bits(image: Image.Image, content: bytes) -> int:
    """Return the bits of a channel in a file; 8 where Pillow has scaled them as the file's header demands."""
    if image.format == "PNG":
        return content[24]
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))))
    if image.format == "JPEG2000":
        depth = (content[content.find(CODESTREAM) + 42] & 127) + 1
        return depth if depth >= FULL_BITS else 8
    if image.format == "SGI":
        return 8 * content[3]
    return {"F": 32, "I": 32}.get(image.mode, 16 if image.mode in WIDE_GREY else 8) if image.format != "PPM" else 8


def grey_of_8_bit(image: Image.Image, content: bytes, bits: int | None) -> npt.NDArray[np.uint8]:
    """Return the greys (H, W) of a `DEEP` image; `bits` as in `read_image`. Raises DatasetError where they have no scale."""
    if image.mode == "F":
        raise DatasetError("floating-point pixels have no fixed scale; convert the file to 8 or 16 bit")
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0:
        raise DatasetError("negative pixels have no fixed scale; convert the file to 8 or 16 bit")
    if image.format == "PPM":  # scaled to the whole range by its header
        return to_8_bit(values, FULL_BITS)
    return to_8_bit(values, significant_bits(values, stored_bits(image, content), content, bits))


def restore_low_bytes(image: Image.Image, content: bytes, bits: int | None) -> None:
    """Scale 16-bit colours, of which Pillow keeps 8, by the bits in use. Raises DatasetError if uncertain."""
    if image.mode in DEEP or bits == FULL_BITS:
        return
    shown = np.asarray(image)
    if bits is None and shown[..., :3].max(initial=0) >= 128:
        return
    wide = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if wide is not None and wide.ndim == 3:
        wide = wide[..., [2, 1, 0, 3][: wide.shape[2]]]
    if wide is None or wide.dtype != np.uint16 or not np.array_equal(wide // 256, shown):
        raise DatasetError(f"16-bit colours ({image.mode}) without a certain scale; convert the file to 8 bit")
    colours = wide[..., :3].astype(np.int64)
    scaled = np.array(shown)  # alpha has its whole range
    scaled[..., :3] = to_8_bit(colours, significant_bits(colours, FULL_BITS, content, bits))
    image.paste(Image.fromarray(scaled, image.mode))


def significant_bits(values: npt.NDArray[np.int64], stored: int, content: bytes, bits: int | None) -> int:
    """Return by how many bits pixels of more than 8 are to be scaled. Raises DatasetError where that is not certain."""
    top = int(values.max(initial=0))
    known = bits if bits is not None else stored if stored < FULL_BITS else None
    if known is not None:
        if top >= 1 << known:
            raise DatasetError(f"pixels up to {top}, more than {known} bits (data.bit_depth) can hold")
        return known
    if stored > FULL_BITS:
        raise DatasetError(f"{stored}-bit pixels have no fixed scale; convert the file to 8 or 16 bit")
    noted = _noted_bits(content)
    if top == 0 or top >= 1 << FULL_BITS - 1 or (noted is not None and top >= 1 << noted) or noted == FULL_BITS:
        return FULL_BITS  # PNG wants pixels of fewer bits shifted to the highest ones; cameras leave them at the lowest
    if noted is not None and (values & ((1 << FULL_BITS - noted) - 1)).any():
        return noted
    least = max(8, top.bit_length() + top.bit_length() % 2)
    raise DatasetError(
        f"16-bit pixels up to {top} only, which have no certain scale: type data.bit_depth={least} where white is "
        f"{(1 << least) - 1}, or data.bit_depth=16 where it is 65535 and the picture is dark"
    )


def _noted_bits(content: bytes) -> int | None:
    """Return the significant bits of colours that a PNG's chunk sBIT has; None where there is none."""
    place = 8
    while content[:4] == b"\x89PNG" and content[place + 4 : place + 8] not in (b"IDAT", b""):
        length = int.from_bytes(content[place : place + 4])
        if content[place + 4 : place + 8] == b"sBIT":
            return max(content[place + 8 : place + 8 + min(length, 3)], default=None)
        place += 12 + length
    return None


def to_8_bit(values: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint8]:
    """Return pixels of `bits` rounded to 8 bit."""
    white = (1 << bits) - 1
    return ((values * 510 + white) // (2 * white)).astype(np.uint8)
