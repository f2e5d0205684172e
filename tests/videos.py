"""Tiny videos, made by PyAV itself."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def make_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    rate: int = 10,
    times: Sequence[int] | None = None,
    rotation: tuple[float, bool, bool] | None = None,
) -> Path:
    """Write frames (H, W, 3) of even sizes at `times` (in 1/rate seconds), with a display matrix of (degrees, hflip, vflip)."""
    import av

    with av.open(str(path), "w") as out:
        stream: Any = None
        for number, image in enumerate(frames):
            if stream is None:
                stream = out.add_stream("libx264", rate=rate, options={"crf": "1"})
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
                if rotation is not None:
                    stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def moving(count: int, size: tuple[int, int] = (32, 48)) -> Iterable[NDArray[np.uint8]]:
    """Frames whose upper half is red and whose lower left is green; the lower right becomes bluer."""
    for number in range(count):
        image = np.zeros((*size, 3), np.uint8)
        image[: size[0] // 2] = 200, 30, 30
        image[size[0] // 2 :, : size[1] // 2] = 30, 200, 30
        image[size[0] // 2 :, size[1] // 2 :] = 30, 30, 60 + 8 * (number % 24)
        yield image
