"""A video below the colours of its masks, with a legend of all classes."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import LabelSpace
from reports.overlays import MOST_NAMED, legend, painted
from run_folder import atomic

BT709 = 1  # in H.264's tables of primaries, transfer functions and matrices
ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"qscale": "3"},
}  # the first that PyAV was built with
Write = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], None]


@contextlib.contextmanager
def overlay_video(
    path: Path, shape: tuple[int, int], rate: Fraction, time_base: Fraction, space: LabelSpace
) -> Iterator[Write]:
    """Yield a function that appends a frame: picture (H, W, 3), mask (H, W), and time in units of `time_base` seconds.

    `shape` is (H, W), `rate` the frames per second. The MP4 file is there once the block has ended without an exception.
    """
    import av
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # one for all frames: its tables are made once
    height, width = shape
    below = np.asarray(legend(range(space.num_classes), space, shape, 2 * MOST_NAMED))
    # Of odd sizes the chroma of 4:2:0 has no place.
    canvas = np.full((-(-(height + len(below)) // 2) * 2, -(-max(width, below.shape[1]) // 2) * 2, 3), 255, np.uint8)
    canvas[height : height + len(below), : below.shape[1]] = below
    name = next(name for name in ENCODERS if name in av.codecs_available)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file, av.open(file, "w", format="mp4") as out:
        stream = cast(Any, out.add_stream(name, rate=rate, options=ENCODERS[name]))
        stream.height, stream.width, stream.pix_fmt = canvas.shape[0], canvas.shape[1], "yuv420p"
        context = stream.codec_context
        context.time_base = time_base
        context.color_primaries = context.color_trc = context.colorspace = BT709

        def write(image: NDArray[np.uint8], mask: NDArray[np.uint8], time: int) -> None:
            canvas[:height, :width] = painted(image, mask, space)
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            frame = reformatter.reformat(
                frame, format="yuv420p", dst_colorspace=BT709, dst_color_range="MPEG", threads=1
            )
            frame.pts, frame.time_base = time, time_base
            out.mux(stream.encode(frame))

        yield write
        out.mux(stream.encode(None))
