"""A video is predicted as its frames are one by one."""

import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.files.videos import Video
from entry import load_run
from entry.model import TrainedModel
from entry.video import predict_video
from run_files import read_csv
from tests.entry.test_model import CLASSES, classifier, segmenter  # noqa: F401  fixtures
from tests.videos import make_video, moving

pytest.importorskip("av")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Ten frames, and the same as pictures."""
    folder = tmp_path_factory.mktemp("drive")
    video = Video(make_video(folder / "drive.mp4", moving(10), times=[0, 1, 2, 3, 4, 5, 6, 7, 8, 12]))
    (folder / "frames").mkdir()
    for frame in video.frames():
        Image.fromarray(frame.image).save(folder / f"frames/{frame.number:06}.png")
    return folder


def test_a_video_has_an_overlay_masks_by_choice_and_a_table(segmenter, drive, run_command):  # noqa: F811
    one_by_one = run_command("predict", f"run={segmenter[0]}", f"source={drive}/frames")
    answer = run_command("predict", f"run={segmenter[0]}", f"source={drive}/drive.mp4", "masks=true")
    assert (answer.code, answer.err) == (0, "")
    assert sorted(path.name for path in answer.folder.iterdir()) == ["masks", "overlays", "predictions.csv"]
    assert one_by_one.code == 0, one_by_one.err
    names = sorted(path.name for path in (one_by_one.folder / "masks").iterdir())
    assert names == sorted(path.name for path in (answer.folder / "masks/drive").iterdir())
    for name in names:
        expected = np.array(Image.open(one_by_one.folder / "masks" / name))
        np.testing.assert_array_equal(Image.open(answer.folder / "masks/drive" / name), expected)
    rows, frames = (read_csv(each.folder / "predictions.csv") for each in (answer, one_by_one))
    assert list(rows[0]) == ["file", "frame", "seconds", "road", "sky", "car"]
    assert [(row["frame"], float(row["seconds"])) for row in rows] == [(str(i), time / 10) for i, time in enumerate([0, 1, 2, 3, 4, 5, 6, 7, 8, 12])]  # fmt: skip
    assert [[row[name] for name in ("road", "sky", "car")] for row in rows] == [[row[name] for name in ("road", "sky", "car")] for row in frames]  # fmt: skip
    overlay = Video(answer.folder / "overlays/drive.mp4")
    assert len(list(overlay.frames())) == 10


@pytest.mark.parametrize(("frames", "expected"), [(3.5, [3, 3, 3, 1]), (0.5, [1] * 10)])
def test_a_cpu_computes_few_pixels_at_once(segmenter, drive, tmp_path, monkeypatch, frames, expected):  # noqa: F811
    model = load_run(segmenter[0], device="cpu")
    monkeypatch.setattr("entry.video.CPU_PIXELS", int(frames * model.size[0] * model.size[1]))
    data = model.settings.data.model_copy(update={"eval_batch_size": 8})
    model.settings = model.settings.model_copy(update={"data": data})
    sizes, segment = [], model.segment
    monkeypatch.setattr(model, "segment", lambda images, names: (sizes.append(len(images)), segment(images, names))[1])
    rows, defect = predict_video(model, drive / "drive.mp4", tmp_path, "drive", masks=False)
    assert (sizes, [number for number, *_ in rows], defect) == (expected, [*range(10)], "")


@pytest.mark.parametrize("deterministic", ["false", "true"])
def test_numbers_are_the_same_however_many_batches_are_computed_at_once(segmenter, drive, tmp_path, monkeypatch, deterministic):  # noqa: F811  # fmt: skip
    monkeypatch.setattr("entry.video.CPU_PIXELS", 1)
    found, seen, first, logits = [], [], threading.Barrier(3), TrainedModel._logits  # noqa: SLF001

    def recorded(model, images):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        if 10 < len(seen) <= 13:  # the first three of the second video
            first.wait(30)
        return logits(model, images)

    monkeypatch.setattr(TrainedModel, "_logits", recorded)
    for threads in (1, 3):
        run = shutil.copytree(segmenter[0], tmp_path / f"run{threads}")
        text = (run / "config.yaml").read_text()
        assert "  threads: 1" in text
        assert "  deterministic: false" in text
        text = text.replace("  threads: 1", f"  threads: {threads}")
        (run / "config.yaml").write_text(text.replace("  deterministic: false", f"  deterministic: {deterministic}"))
        model = load_run(run, device="cpu")
        found.append(predict_video(model, drive / "drive.mp4", tmp_path, f"drive{threads}", masks=True)[0])
    assert found[0] == found[1]
    for frame in range(10):
        one, three = (tmp_path / f"masks/drive{threads}/{frame:06}.png" for threads in (1, 3))
        assert one.read_bytes() == three.read_bytes()
    assert set(seen) == {(1, deterministic == "true")}
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_classifier_labels_each_frame_beside_images(classifier, drive, run_command):  # noqa: F811
    one_by_one = run_command("predict", f"run={classifier[0]}", f"source={drive}/frames")
    answer = run_command("predict", f"run={classifier[0]}", f"source=[{drive}/frames/000003.png,{drive}/drive.mp4]")
    assert (answer.code, answer.err) == (0, "")
    assert [path.name for path in answer.folder.iterdir()] == ["predictions.csv"]
    image, *rows = read_csv(answer.folder / "predictions.csv")
    expected = read_csv(one_by_one.folder / "predictions.csv")
    columns = ("label", "probability", *CLASSES)
    assert [[row[name] for name in columns] for row in rows] == [[row[name] for name in columns] for row in expected]
    assert ([image[name] for name in columns], image["frame"]) == ([expected[3][name] for name in columns], "")


def test_what_was_read_of_a_damaged_video_is_predicted(classifier, drive, run_command, tmp_path):  # noqa: F811
    path = make_video(tmp_path / "cut.mkv", moving(100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    answer = run_command("predict", f"run={classifier[0]}", f"source={path}")
    rows = read_csv(answer.folder / "predictions.csv")
    assert answer.code == 1
    assert answer.err.strip() == f"{path} is cut short: {len(rows)} frames could be read, up to 0:00:{round(len(rows) / 10):02} of 0:00:10."  # fmt: skip
    path.write_text("no video")
    answer = run_command("predict", f"run={classifier[0]}", f"source={path}")
    assert (answer.code, "Traceback" in answer.err) == (1, False)
    assert answer.err.startswith("The video could not be read.\n  ")


@pytest.mark.parametrize(
    ("typed", "installed", "message"),
    [
        (["source=drive.mp4"], False, "the package that reads these is missing. Type: pip install av"),
        (["source=*.mp4"], False, "drive.mp4 is a video, and the package"),
        (["source=drive.mp4", "masks=true"], True, "masks=true is for segmentation"),
        (["source=drive.mp4", "masks=maybe"], True, "masks=maybe: must be true or false"),
    ],
)
def test_wrong_requests(classifier, run_command, tmp_path, monkeypatch, typed, installed, message):  # noqa: F811
    (tmp_path / "drive.mp4").touch()
    if not installed:
        monkeypatch.setattr("entry.prediction.find_spec", lambda name: None)
    answer = run_command("predict", f"run={classifier[0]}", *typed)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert message in answer.err
    assert not list(tmp_path.glob("runs/*/*_predict"))
