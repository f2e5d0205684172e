"""Overlays of videos: each frame is drawn as an overlay of a picture is, at its time, above a legend of all classes."""

from fractions import Fraction

import numpy as np
import pytest

from datamodules.files.videos import Video
from label_spaces.space import LabelSpace
from reports.overlay_video import overlay_video
from reports.overlays import painted
from tests.videos import moving

pytest.importorskip("av")
SPACE = LabelSpace("toy", ("red", "green", "blue"), colours=((255, 0, 0), (0, 255, 0), (0, 0, 255)))
SIZE, BASE = (63, 95), Fraction(1, 90000)  # odd


def test_frames_times_and_legend(tmp_path):
    masks = [np.full(SIZE, number % 2, np.uint8) for number in range(6)]
    for mask in masks:
        mask[40:] = 3  # void
    times = [0, 9000, 18000, 36000, 45000, 99000]
    with overlay_video(tmp_path / "deep/a.mp4", SIZE, Fraction(10), BASE, SPACE) as write:
        assert not (tmp_path / "deep/a.mp4").exists()  # a temporary name until it is complete
        for image, mask, time in zip(moving(6, SIZE), masks, times, strict=True):
            write(image, mask, time)
    video = Video(tmp_path / "deep/a.mp4")
    frames = list(video.frames())
    assert [frame.time * video.time_base for frame in frames] == [time * BASE for time in times]
    for frame, image, mask in zip(frames, moving(6, SIZE), masks, strict=True):
        assert frame.image.shape[0] % 2 == frame.image.shape[1] % 2 == 0
        inner = np.ix_([8, 16, 24, 50, 58], [8, 20, 36, 60, 80])  # far from lines, beside which 4:2:0 blurs colours
        assert np.abs(frame.image[inner].astype(int) - painted(image, mask, SPACE)[inner]).max() < 12
        below = frame.image[SIZE[0] :].astype(int)  # the same on all frames, whatever is in them
        for colour in SPACE.colours:
            assert (np.abs(below - colour).max(-1) < 40).sum() > 20
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.mp4"]


def test_an_exception_leaves_no_file(tmp_path):
    def broken():
        with overlay_video(tmp_path / "a.mp4", SIZE, Fraction(10), BASE, SPACE) as write:
            write(next(iter(moving(1, SIZE))), np.zeros(SIZE, np.uint8), 0)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        broken()
    assert list(tmp_path.iterdir()) == []
