"""What wandb and TensorBoard keep of an evaluation is what its files have."""

import csv
import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from entry.evaluation.logged import OF_EACH, log_evaluation
from label_spaces.space import LabelSpace
from reports.mask_images import colours
from run_folder import RunFolder
from tests.test_segmentation import KEYS

TYPED = (*(key for key in KEYS if key != "logger=csv"), "logger=[wandb,tensorboard]", "trainer.max_epochs=1")
CLASSES = ["sky", "road", "car"]


@pytest.fixture(scope="module")
def run(run_shared_command, mask_folder):
    answer = run_shared_command(
        "train", *TYPED, f"data.root={mask_folder}", "report.predictions=true", "report.train_eval=false", figures=True
    )
    assert answer.code == 0, answer.err
    assert "does not show" not in answer.err
    return answer.folder


def records(path: Path) -> Iterator[Record]:
    """The records of an offline run: after 7 bytes LevelDB's log format, blocks of 32 KiB with (crc, length, type) before each piece."""
    content, place, whole = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the rest of a block
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last piece
            yield Record.FromString(whole)
            whole = b""


def summary_of(run: Path) -> dict:
    """The last value of each key that was logged to wandb."""
    [path] = run.glob("wandb/offline-run-*/run-*.wandb")
    found: dict = {}
    for item in (item for record in records(path) for item in record.history.item):
        key, *inner = item.nested_key or [item.key]
        value = json.loads(item.value_json)
        found.setdefault(key, {}).update({inner[0]: value}) if inner else found.update({key: value})
    return found


def media(run: Path) -> Path:
    [place] = run.glob("wandb/offline-run-*/files")
    return place


def test_scores_and_figures_of_wandb_are_those_of_the_files(run):
    found, scores = summary_of(run), json.loads((run / "evaluation/test/scores.json").read_text())
    for name in ("miou", "accuracy", "fwiou", "miou_image"):
        assert found[f"evaluation/test/{name}"] == scores[name]
    figures = sorted((run / "evaluation/test/figures").glob("*.png"))
    assert [figure.stem for figure in figures] == ["class_distribution", "confusion", "learning_curves", "per_class"]
    for figure in figures:
        [name] = found[f"evaluation/test/{figure.stem}"]["filenames"]
        assert (media(run) / name).read_bytes() == figure.read_bytes()


def test_the_table_of_wandb_is_the_one_of_the_files(run):
    table = json.loads((media(run) / summary_of(run)["evaluation/test/classes"]["path"]).read_text())
    with (run / "evaluation/test/per_class.csv").open() as file:
        header, *rows = csv.reader(file)
    assert table["columns"] == header
    assert [["" if cell is None else str(cell) for cell in row] for row in table["data"]] == rows


def test_frames_of_wandb_have_truth_and_prediction(run, mask_folder):
    frames = summary_of(run)["evaluation/test/frames"]
    samples = [caption.split(": ")[1].split(", mIoU ")[0] for caption in frames["captions"]]
    kinds = [caption.split(":")[0] for caption in frames["captions"]]
    assert kinds == ["worst_1", "worst_2"]  # of the four frames of test, all of which are among the ten worst
    assert len(frames["all_masks"]) == len(samples) == OF_EACH
    for sample, masks, picture in zip(samples, frames["all_masks"], frames["filenames"], strict=True):
        np.testing.assert_array_equal(Image.open(media(run) / picture), Image.open(mask_folder / sample))
        pixels = {kind: np.array(Image.open(media(run) / mask["path"])) for kind, mask in masks.items()}
        truth = np.array(Image.open(mask_folder / "masks" / Path(sample).name))
        np.testing.assert_array_equal(pixels["ground_truth"], np.where(truth == 255, 3, truth))
        [ids] = (run / "evaluation/test/predictions/ids").rglob(Path(sample).name)
        np.testing.assert_array_equal(pixels["predictions"], Image.open(ids))


def test_tensorboard_has_scores_figures_table_and_frames(run):
    events = EventAccumulator(str(run / "tensorboard"), {"images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    scores = json.loads((run / "evaluation/test/scores.json").read_text())
    [miou] = events.Scalars("evaluation/test/miou")
    assert (miou.value, miou.step) == (pytest.approx(scores["miou"]), scores["checkpoint"]["step"])
    for figure in (run / "evaluation/test/figures").glob("*.png"):
        [event] = events.Images(f"evaluation/test/{figure.stem}")
        kept = np.array(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB"))
        np.testing.assert_array_equal(kept, Image.open(figure).convert("RGB"))
    [table] = events.Tensors("evaluation/test/classes/text_summary")
    lines = table.tensor_proto.string_val[0].decode().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == ["name", "---", *CLASSES]
    assert f" {scores['classes'][1]['iou']:.4f} " in lines[3]
    frames = sorted(tag for tag in events.Tags()["images"] if "frames" in tag)
    assert frames == [f"evaluation/test/frames/worst_{n}_{kind}" for n in (1, 2) for kind in ("prediction", "truth")]
    with Image.open(io.BytesIO(events.Images(frames[0])[0].encoded_image_string)) as picture:
        assert picture.height > 32  # with a legend


@pytest.mark.slow
def test_without_images_no_frame_is_recorded(run_command, mask_folder):
    answer = run_command("train", *TYPED, f"data.root={mask_folder}", "report.images=false", figures=True)
    assert answer.code == 0, answer.err
    found = summary_of(answer.folder)
    assert {"evaluation/test/miou", "evaluation/test/classes", "evaluation/test/confusion"} <= found.keys()
    assert not [key for key in found if "frames" in key]
    events = EventAccumulator(str(answer.folder / "tensorboard"))
    events.Reload()
    assert not [tag for tag in events.Tags()["images"] if "frames" in tag]


def test_large_frames_are_made_smaller(run, tmp_path):
    names = np.load(run / "evaluation/test/per_sample.npz")["sample"].tolist()
    large = SimpleNamespace(
        test_split="test",
        names=names,
        label_space=LabelSpace("toy", tuple(CLASSES)),
        read=lambda _: np.full((900, 1300, 3), 90, np.uint8),
        read_mask=lambda _: np.ones((900, 1300), np.uint8),
    )
    shown = {index: np.zeros((32, 48), np.uint8) for index in range(len(names))}
    logger = TensorBoardLogger(tmp_path, name="", version="")
    log_evaluation([logger], SimpleNamespace(datamodule=large, folder=RunFolder(run)), shown)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for kind, colour in (("prediction", 0), ("truth", 1)):
        [event] = events.Images(f"evaluation/test/frames/worst_1_{kind}")
        picture = np.array(Image.open(io.BytesIO(event.encoded_image_string)))
        assert picture.shape[1] == 640
        np.testing.assert_allclose(
            picture[:443], (90 + colours(large.label_space)[colour].astype(int)) / 2 + np.zeros((443, 640, 1)), atol=1
        )
        assert (picture[443:451] == 255).all()  # the legend's margin


class Failing(Logger):
    name = version = None

    def log_metrics(self, metrics, step=None):
        raise OSError("no disk")

    def log_hyperparams(self, *_, **__): ...


def test_a_logger_that_fails_is_named_and_nothing_else_happens(caplog, tmp_path):
    module = SimpleNamespace(test_split="test", names=[], label_space=None)
    log_evaluation(
        [Failing()], SimpleNamespace(datamodule=module, folder=SimpleNamespace(evaluation=lambda _: tmp_path)), {}
    )
    assert "Failing does not show the evaluation, its folder has everything" in caplog.text
