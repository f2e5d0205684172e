"""A run's model in Python: what it predicts is what predict.py writes, and nothing else is left or changed."""

import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.errors import DatasetError
from entry import load_run
from entry.builders.modules import build_module
from entry.config.resolve import resolved
from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.errors import TrainingError
from run_files import read_csv
from run_folder import RunFolder, RunFolderError
from settings.errors import SettingsError
from tests.entry.config.test_resolve import request

CLASSES = ("blue", "green", "red")
SHARED = ("data.num_workers=0", "trainer=cpu", "trainer.threads=1", "trainer.progress=false", "data.eval_batch_size=3")


def make_run(folder, space, *typed, change=lambda state: None):
    """A run folder with the checkpoint of a network that was never trained."""
    settings = resolved(request(folder.parent, *SHARED, *typed))
    run = RunFolder(folder)
    run.claim(settings.to_yaml(), [])
    module, _ = build_module(settings, space, "none")
    state = module.state_dict()
    change(state)
    facts = {"label_space": space.name, "classes": list(space.classes)}
    torch.save({"state_dict": state, "epoch": 0, "global_step": 1, "hyper_parameters": facts}, run.checkpoints / "best.ckpt")  # fmt: skip
    return module


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    typed = ("data=image_folder", "data.root=.", "data.image_size=[16,16]", "trainer.precision=32-true")
    return folder, make_run(folder, LabelSpace("image_folder", CLASSES), *typed)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    typed = (
        "model=lraspp_mobilenet_v3_large",
        "data=mask_folder",
        "data.root=.",
        "data.classes=[road,sky,car]",
        "data.image_size=[32,48]",
    )
    return folder, make_run(folder, LabelSpace("mask_folder", ("road", "sky", "car")), *typed, change=lively)  # fmt: skip


def lively(state):
    """Let the coarse features decide, so that each class is somewhere."""
    weight = state["network.classifier.low_classifier.weight"]
    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 100)
    weight -= weight.mean((1, 2, 3), keepdim=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five pictures of three sizes."""
    folder, draws = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i, size in enumerate([(32, 48), (32, 48), (20, 30), (64, 100), (32, 48)]):
        Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def test_probabilities_of_images_are_those_of_predict_and_of_the_network(classifier, pictures, run_command):
    folder, module = classifier
    answer = run_command("predict", f"run={folder}", f"source={pictures[0].parent}")
    assert answer.code == 0, answer.err
    ids, probabilities = load_run(folder).predict(pictures)
    rows = read_csv(answer.folder / "predictions.csv")
    assert [[float(row[name]) for name in CLASSES] for row in rows] == probabilities.tolist()
    assert [CLASSES.index(row["label"]) for row in rows] == ids.tolist()
    small = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)  # nothing to resize
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(small).permute(2, 0, 1)[None]).softmax(1)
    np.testing.assert_allclose(load_run(folder).predict(small)[1], expected, rtol=1e-6)


@pytest.mark.parametrize("typed", [(), ("trainer.precision=32-true", "evaluation.flip=true")])
def test_masks_are_those_of_predict_at_the_size_of_each_image(segmenter, pictures, run_command, tmp_path, typed):
    folder, _ = segmenter
    answer = run_command("predict", f"run={folder}", f"source={pictures[0].parent}", *typed)
    assert answer.code == 0, answer.err
    if typed:  # as settings of the run
        config = (folder / "config.yaml").read_text()
        (tmp_path / "changed/checkpoints").mkdir(parents=True)
        (tmp_path / "changed/config.yaml").write_text(
            config.replace("precision: auto", "precision: 32-true").replace("flip: false", "flip: true")
        )
        (tmp_path / "changed/checkpoints/best.ckpt").symlink_to(folder / "checkpoints/best.ckpt")
        folder = tmp_path / "changed"
    model = load_run(folder)
    masks, confidence = model.predict(pictures)
    _, shares = model.predict(pictures, all_classes=True)
    for path, mask, best, every in zip(pictures, masks, confidence, shares, strict=True):
        written = np.array(Image.open(answer.folder / "masks" / path.name))
        assert mask.dtype == np.uint8
        assert (best.shape, every.shape) == (written.shape, (3, *written.shape))
        np.testing.assert_array_equal(mask, written)
        np.testing.assert_array_equal(every.max(0), best)
        np.testing.assert_array_equal(np.take_along_axis(every, mask[None].astype(int), 0)[0], best)
        np.testing.assert_allclose(every.sum(0), 1, rtol=1e-5)
    assert len({value for mask in masks for value in mask.ravel().tolist()}) > 1


def test_the_same_images_in_every_form_have_the_same_numbers(segmenter, pictures):
    model = load_run(segmenter[0])
    paths = [path for path in pictures if Image.open(path).size == (48, 32)]
    arrays = np.stack([np.array(Image.open(path)) for path in paths])
    expected = model.predict(paths)
    for form in (arrays, list(arrays), [Image.open(p) for p in paths], map(str, paths), [paths[0], *arrays[1:]]):
        for found, wanted in zip(model.predict(form), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    for one in (arrays[0], paths[0], str(paths[0]), Image.open(paths[0])):
        (mask,), (confidence,) = model.predict(one)
        np.testing.assert_array_equal(mask, expected[0][0])
        np.testing.assert_array_equal(confidence, expected[1][0])
    assert (model.classes, model.task, model.size) == (("road", "sky", "car"), "segmentation", (32, 48))
    assert model.predict([]) == ([], [])


def test_pillow_images_are_read_as_their_files_are(classifier, tmp_path):
    draws = np.random.default_rng(1)
    Image.fromarray(draws.integers(0, 256, (12, 16, 4), dtype=np.uint8)).save(tmp_path / "clear.png")
    turned = Image.fromarray(draws.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(draws.integers(0, 65536, (12, 16), dtype=np.uint16)).save(tmp_path / "wide.png")
    paths = sorted(tmp_path.glob("*.png"))
    model = load_run(classifier[0])
    np.testing.assert_array_equal(model.predict([Image.open(path) for path in paths])[1], model.predict(paths)[1])


def test_nothing_is_printed_written_or_changed(classifier, segmenter, pictures, capfd, tmp_path, monkeypatch):
    def state():
        return (
            torch.random.get_rng_state().tolist(),
            random.getstate(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )

    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    files, before = sorted(classifier[0].rglob("*")), state()
    for folder, _ in (classifier, segmenter, classifier):
        load_run(str(folder)).predict(pictures)
    assert state() == before
    assert capfd.readouterr() == ("", "")
    assert sorted(classifier[0].rglob("*")) == files
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_predicted_is_refused_with_what_to_do(classifier, pictures, tmp_path):
    folder, _ = classifier
    with pytest.raises(RequestError, match="absent: there is no such"):
        load_run(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="checkpoint=last: there is no"):
        load_run(folder, "last")
    with pytest.raises(SettingsError, match="accelerator=tpu: must be"):
        load_run(folder, device="tpu")
    model = load_run(folder, device="cpu")
    grey = np.zeros((4, 4), np.uint8)
    for wrong, found in ((grey / 2, r"float64 \(4, 4\)"), (grey, r"uint8 \(4, 4\)"), ([None], "NoneType")):
        with pytest.raises(RequestError, match=f"image 0 is {found}; give a path"):
            model.predict(wrong)
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(DatasetError, match=r"broken\.png: not an image"):
        model.predict([*pictures, tmp_path / "broken.png"])


def test_logits_that_are_not_finite_are_no_prediction(tmp_path):
    def spoil(state):
        state["network.classifier.bias"].fill_(math.nan)

    typed = ("data=image_folder", "data.root=.", "data.image_size=[16,16]")
    make_run(tmp_path / "run", LabelSpace("image_folder", CLASSES), *typed, change=spoil)
    with pytest.raises(TrainingError, match=r"logits of image 0 are not finite.*classifier\.bias"):
        load_run(tmp_path / "run").predict(np.zeros((4, 4, 3), np.uint8))


def test_importing_the_function_is_cheap():
    code = "import sys; from entry import load_run; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
