"""Checkpoints as they are found, refused and loaded; and what is collected of the counts of a split."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from datamodules.image_folder import ImageFolderDataModule
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.evaluation.checkpoint import collect, find_checkpoint, load
from label_spaces.space import LabelSpace
from metrics.counts import Counts, Predictions
from run_folder import RunFolder
from tests.entry.config.test_resolve import request

CLASSES = ("red", "green")


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    return folder


def write(path, **changes):
    content = {
        "state_dict": {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}, "epoch": 4, "global_step": 90,
        "hyper_parameters": {"label_space": "toy", "classes": list(CLASSES)},
    }  # fmt: skip
    torch.save({key: value for key, value in {**content, **changes}.items() if value is not None}, path)
    return path


class Module(nn.Linear):
    """One neuron on two inputs, with classes."""

    def __init__(self, inputs=2, classes=CLASSES):
        super().__init__(inputs, 1)
        self.label_space = LabelSpace("toy", classes)


@pytest.mark.parametrize("wanted", ["best", "last", "elsewhere/own.ckpt"])
def test_a_checkpoint_is_found_by_name_and_by_path(folder, tmp_path, monkeypatch, wanted):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / wanted if "/" in wanted else folder.checkpoints / f"{wanted}.ckpt"
    path.parent.mkdir(exist_ok=True)
    write(path)
    found = find_checkpoint(folder, wanted)
    assert (found.path, found.epoch, found.step) == (path, 4, 90)
    assert found.label_space == LabelSpace("toy", CLASSES)
    assert found.origin == {"file": path.name, "epoch": 4, "step": 90}
    module = Module()
    load(module, found)
    assert (module.weight.tolist(), module.bias.tolist()) == ([[1.0, 2.0]], [3.0])


def test_a_checkpoint_that_is_not_there(folder):
    with pytest.raises(
        RequestError, match=r"checkpoint=best: there is no .*best\.ckpt\. Type checkpoint=best, last or"
    ):
        find_checkpoint(folder, "best")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_step": None}, "was not written by train.py. Start from such weights with model.weights="),
        ({"hyper_parameters": {"label_space": "toy", "classes": [], "_instantiator": "os.system"}}, "holds hyper-parameters that train.py does not write"),
    ],
)  # fmt: skip
def test_what_train_py_did_not_write_is_refused(folder, changes, message):
    write(folder.checkpoints / "best.ckpt", **changes)
    with pytest.raises(RequestError, match=message):
        find_checkpoint(folder, "best")


def test_a_wrong_bit_is_found_unless_it_was_looked_for_already(folder):
    path = write(folder.checkpoints / "best.ckpt")
    content = path.read_bytes()
    bits = np.float32([1.0, 2.0]).tobytes()
    assert content.count(bits) == 1
    path.write_bytes(content.replace(bits, np.float32([1.0, 2.5]).tobytes()))
    with pytest.raises(RequestError, match=r"best\.ckpt is damaged \(.*\)\. Take another"):
        find_checkpoint(folder, "best")
    assert find_checkpoint(folder, "best", verified=True).state["weight"].tolist() == [[1.0, 2.5]]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Module(classes=("red", "blue")), "was trained on the classes red, green, but the data has red, blue"),
        (Module(inputs=3), "does not fit the run's model: size mismatch for weight"),
    ],
)
def test_classes_and_shapes_must_fit(folder, module, message):
    write(folder.checkpoints / "best.ckpt")
    with pytest.raises(RequestError, match=message):
        load(module, find_checkpoint(folder, "best"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, image_folder):
    where = tmp_path_factory.mktemp("cache")
    typed = ("data=image_folder", f"data.root={image_folder}", f"data.cache_dir={where}", "data.image_size=[16,16]", "evaluation.flip=true")  # fmt: skip
    settings = resolved(request(where, *typed))
    data = ImageFolderDataModule(settings.data)
    data.prepare_training()
    return settings, data


def counts_of(index):
    """Each sample is blue, and so it is predicted."""
    n, confusion = len(index), np.zeros((4, 4), np.int64)
    confusion[0, 0] = n
    matrices = np.zeros((n, 16), np.int64)
    matrices[:, 0] = 1
    predictions = Predictions(np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.float32))
    return Counts(confusion, np.array(index), csr_array(matrices), np.zeros(n), np.ones(n, np.int64), predictions)


def test_what_is_collected_names_its_samples_size_and_views(prepared, tmp_path, caplog):
    settings, data = prepared
    index = data.indices("test")[:3]
    origin = {"file": "best.ckpt", "epoch": 1, "step": 2}
    with caplog.at_level(logging.WARNING):
        found = collect(settings, RunFolder(tmp_path / "one"), origin, data, "test", counts_of(index))
    assert (found.task, found.split, found.run, found.checkpoint) == ("classification", "test", "one", origin)
    assert [sample.name for sample in found.samples] == [data.table.samples[i].name for i in index]
    assert found.n_expected == 8  # of 36 images
    assert "Only 3 of 8 samples of test were evaluated" in caplog.text
    assert tuple(found.resolution) == (16, 16)
    assert found.looks == {"flip": True, "scales": [1.0], "window": None, "stride": None}
    fitted, evaluated = found.features["mean_colour"]
    assert (len(fitted), len(evaluated)) == (len(data.indices("train")), 3)


def test_counts_in_other_classes_are_remapped(prepared, tmp_path):
    settings, data = prepared
    crosswalk = SimpleNamespace(mapping=(1, 0, 3))  # blue counts as green, the third class as void
    found = collect(settings, RunFolder(tmp_path), {}, data, "test", counts_of(data.indices("test")), crosswalk)
    assert found.counts.confusion.tolist() == [[0, 8, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert found.counts.before.confusion[0, 0] == 8
