"""Read the frames of a video with PyAV (the optional package `av`): upright, as 8-bit RGB, with their times."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import DatasetError
from datamodules.files.images import RGB, resize

MISSING_SECONDS = (
    1.0  # at the end of a video, up to which it counts as whole: containers round, and sound may be longer
)
DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: its number from 0, its pixels (H, W, 3), and its time since the first one, in units of `Video.time_base`."""

    number: int
    image: RGB
    time: int


class Video:
    """A video, opened. `count` is the number of its frames as the file has it, None where it does not.

    `rate` is in frames per second and `time_base` in seconds; `defect` is, after `frames`, one sentence on what could not be
    read, empty where all was. Raises DatasetError where nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        import av

        self.path, self.defect = path, ""
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            reason = getattr(error, "strerror", "it has no pictures")
            raise DatasetError(f"{path}: not a video, or damaged at its beginning ({reason})") from None
        stream = self._stream
        stream.thread_type = "AUTO"
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        self.time_base = Fraction(stream.time_base or 1 / self.rate)
        whole = stream.duration and stream.duration * self.time_base
        self.seconds = float(whole or (self._container.duration or 0) / 1_000_000)
        self.count = stream.frames or round(self.seconds * self.rate) or None
        self.frame_bytes = 3 * stream.codec_context.width * stream.codec_context.height

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that can be read, in the order of their times; packets that are damaged are left out."""
        import av
        from av.video.reformatter import VideoReformatter  # one for all frames: its tables are made once

        reformatter = VideoReformatter()
        damaged, number, last, first = 0, -1, -1, None
        step = max(1, round(1 / (self.rate * self.time_base)))
        size: tuple[int, int] | None = None
        try:
            for packet in self._container.demux(self._stream):
                try:
                    decoded = packet.decode()
                except av.error.InvalidDataError:
                    damaged += 1
                    continue
                for frame in decoded:
                    number += 1
                    first = frame.pts if first is None else first
                    time = last + step if frame.pts is None or first is None else frame.pts - first
                    last = time if time > last else last + step  # a stream that was cut together may go back in time
                    rgb = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                    image = upright(np.asarray(rgb, np.uint8), _matrix(frame))
                    size = size or image.shape[:2]
                    yield Frame(number, resize(image, size), max(last, 0))
        except av.FFmpegError:
            damaged += 1
        finally:
            self._container.close()
        read = (last + step) * float(self.time_base) if number >= 0 else 0.0
        if damaged or self.seconds - read > max(MISSING_SECONDS, 2 * float(1 / self.rate)):
            places = f"damaged in {damaged} place{'s' if damaged > 1 else ''}" if damaged else "cut short"
            until = f", up to {_clock(read)} of {_clock(max(self.seconds, read))}" if number >= 0 else ""
            self.defect = f"{self.path} is {places}: {number + 1} frames could be read{until}."


def upright(image: RGB, matrix: tuple[int, int, int, int] | None) -> RGB:
    """Turn and mirror a picture by the display matrix (a, b, c, d) of its file: x' = ax + cy, y' = bx + dy, to the nearest quarter."""
    a, b, c, d = matrix or (1, 0, 0, 1)
    if abs(a) < abs(b):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _matrix(frame: Any) -> tuple[int, int, int, int] | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    return a, b, c, d


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
