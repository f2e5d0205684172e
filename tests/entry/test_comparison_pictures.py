"""The pictures of a comparison's page: what was saved and what is predicted again are the same."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.compared import write_masks, write_run
from tests.test_segmentation import KEYS


def strips(folder):
    """By the frame's name its panels as (H, W, 3) arrays."""
    page = (folder / "compare.html").read_text()
    figures = re.findall(r'<figure id="sample-\d+">(.*?)</figure>', page, re.DOTALL)
    found = {}
    for figure in figures:
        uris = re.findall('base64,([^"]+)"', figure)
        name = re.findall('class="path">([^<]+)<', figure)[0]
        found[name] = [np.array(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB")) for uri in uris]
    return found


@pytest.mark.slow  # two trainings
def test_saved_masks_and_a_second_pass_give_the_same_pictures(run_command, mask_folder):
    typed = (*KEYS, f"data.root={mask_folder}", "trainer.max_epochs=1", "report.predictions=true", "report.html=false")
    runs = [run_command("train", *typed, f"optimizer.lr={lr}").folder.absolute() for lr in (0.001, 0.01)]
    compare = ("compare", f"runs=[{runs[0]},{runs[1]}]")
    answer = run_command(*compare)
    assert answer.code == 0, answer.err
    saved = strips(answer.folder)
    assert saved
    for name, (_, *predictions, truth, first, second) in saved.items():
        file = name.rsplit("/", 1)[-1]
        known = np.array(Image.open(mask_folder / "masks" / file)) < 3
        for run, prediction, errors in zip(runs, predictions, (first, second), strict=True):
            (path,) = (run / "evaluation/test/predictions/colours").rglob(file)
            colours = np.array(Image.open(path).convert("RGB"))
            assert np.array_equal(prediction, colours)
            right = (prediction == truth).all(-1) & known
            assert (errors[right] == 150).all()
            assert np.array_equal(errors[~right & known], colours[~right & known])
    for run in runs:
        shutil.rmtree(run / "evaluation/test/predictions")
    again = strips(run_command(*compare).folder)
    assert again.keys() == saved.keys()
    for name, panels in again.items():
        assert all(np.array_equal(one, two) for one, two in zip(panels, saved[name], strict=True))
    assert strips(run_command(*compare, "report.images=false").folder) == {}
    (runs[1] / "checkpoints/best.ckpt").unlink()
    without = run_command(*compare)
    assert without.code == 0, without.err
    reason = f"needs {runs[1] / 'checkpoints/best.ckpt'}, which is not there."
    assert reason in without.out
    assert reason in (without.folder / "compare.html").read_text()
    assert strips(without.folder) == {}


@pytest.mark.parametrize(("write", "what"), [(write_run, "/pictures"), (write_masks, "/pictures")])
def test_data_that_were_moved_are_a_reason(run_command, tmp_path, write, what):
    runs = [write(tmp_path / name, right) for name, right in (("a", 0.9), ("b", 0.6))]
    answer = run_command("compare", f"runs=[{runs[0]},{runs[1]}]")
    assert answer.code == 0, answer.err
    assert f"note: The page has no pictures: a needs {what}" in answer.out
    page = (answer.folder / "compare.html").read_text()
    assert "The page has no pictures" in page
    assert 'id="sample-table"' in page  # the numbers are there all the same


@pytest.mark.slow
def test_images_of_a_classifier(run_command, image_folder):
    typed = ("data=image_folder", f"data.root={image_folder}", "data.image_size=[16,16]", "data.num_workers=0", "logger=csv", "trainer=cpu",
             "trainer.threads=1", "trainer.max_epochs=1", "report.html=false", "data.split={train: 0.4, val: 0.2, test: 0.4}")  # fmt: skip
    runs = [run_command("train", *typed, f"seed={seed}").folder.absolute() for seed in (0, 1)]
    answer = run_command("compare", f"runs=[{runs[0]},{runs[1]}]")
    assert answer.code == 0, answer.err
    columns = [dict(np.load(run / "evaluation/test/per_sample.npz")) for run in runs]
    right = [{n for n, t, p in zip(c["sample"], c["target"], c["prediction"], strict=True) if t == p} for c in columns]
    assert {*strips(answer.folder)} == right[0] ^ right[1]
