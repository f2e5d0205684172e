"""Videos: every frame once, upright and with its time; what is damaged is left out and reported."""

from fractions import Fraction

import numpy as np
import pytest

from datamodules.errors import DatasetError
from datamodules.files.videos import Video, upright
from tests.videos import make_video, moving

pytest.importorskip("av")


def read(path):
    video = Video(path)
    return video, list(video.frames())


def test_every_frame_has_its_pixels_and_its_time(tmp_path):
    times = [0, 1, 2, 5, 6, 9, 10, 11, 12, 20]  # a variable rate
    video, frames = read(make_video(tmp_path / "a.mp4", moving(10), times=times))
    assert (video.count, video.defect) == (10, "")
    assert [frame.time * video.time_base for frame in frames] == [Fraction(time, 10) for time in times]
    assert [frame.number for frame in frames] == [*range(10)]
    for frame, image in zip(frames, moving(10), strict=True):
        assert frame.image.shape == image.shape
        assert np.abs(frame.image[::31, ::47].astype(int) - image[::31, ::47]).max() < 8  # its corners; 4:2:0 is lossy


def test_times_begin_at_zero_and_never_go_back(tmp_path):
    video, frames = read(make_video(tmp_path / "a.mkv", moving(4), times=[50, 51, 52, 53]))
    seconds = [float(frame.time * video.time_base) for frame in frames]
    assert seconds == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_rotated_video_is_shown_as_players_show_it(tmp_path, degrees):
    import av

    path = make_video(tmp_path / "a.mp4", moving(3), rotation=(degrees, False, False))
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
    expected = np.rot90(stored.to_ndarray(format="rgb24"), stored.rotation // 90)  # counter-clockwise, both
    np.testing.assert_array_equal(read(path)[1][0].image, expected)


def test_a_mirrored_video_is_mirrored(tmp_path):
    plain = read(make_video(tmp_path / "a.mp4", moving(3)))[1][1].image
    mirrored = read(make_video(tmp_path / "b.mp4", moving(3), rotation=(0, True, False)))[1][1].image
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


@pytest.mark.parametrize(
    "matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, 1, 0), (1, 0, 0, -1)]
)
def test_pixels_go_where_the_matrix_moves_them(matrix):
    """Pixel by pixel: x' = ax + cy and y' = bx + dy, moved so that the smallest are 0."""
    a, b, c, d = matrix
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    moved = {(a * x + c * y, b * x + d * y): image[y, x] for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in moved), min(y for _, y in moved)
    found = upright(image, matrix)
    for (x, y), pixel in moved.items():
        np.testing.assert_array_equal(found[y - top, x - left], pixel)


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    path = make_video(tmp_path / "a.mp4", moving(200, (64, 96)))
    content = bytearray(path.read_bytes())
    start, end = content.find(b"mdat"), content.find(b"moov")
    content[start + (end - start) // 3 : start + (end - start) // 2] = b"\xa5" * (
        (end - start) // 2 - (end - start) // 3
    )
    path.write_bytes(content)
    video, frames = read(path)
    assert 0 < len(frames) < 200
    assert video.defect.startswith(f"{path} is damaged in {200 - len(frames)} place")
    assert f": {len(frames)} frames could be read, up to 0:00:20 of 0:00:20." in video.defect


def test_a_video_that_was_cut_short_says_how_much_was_read(tmp_path):
    path = make_video(tmp_path / "a.mkv", moving(200, (64, 96)))
    assert read(path)[0].defect == ""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video, frames = read(path)
    assert 20 < len(frames) < 190
    assert (
        video.defect
        == f"{path} is cut short: {len(frames)} frames could be read, up to 0:00:{round(len(frames) / 10):02} of 0:00:20."
    )


@pytest.mark.parametrize("content", [b"", b"no video", bytes(5000)])
def test_what_is_no_video_is_named(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.mp4: not a video, or damaged at its beginning"):
        Video(tmp_path / "a.mp4")
