"""Checkpoints as they are found, refused and loaded."""

import numpy as np
import pytest
import torch
from torch import nn

from entry.checkpoint import find_checkpoint, load
from entry.errors import RequestError
from label_spaces.space import LabelSpace
from run_folder import RunFolder, RunFolderError

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
def test_a_checkpoint_is_found_by_name_and_by_path(folder, tmp_path, wanted):
    path = tmp_path / wanted if "/" in wanted else folder.checkpoints / f"{wanted}.ckpt"
    path.parent.mkdir(exist_ok=True)
    write(path)
    found = find_checkpoint(folder, str(path) if "/" in wanted else wanted)
    assert (found.path, found.epoch, found.step) == (path, 4, 90)
    assert found.label_space == LabelSpace("toy", CLASSES)
    assert found.origin == {"file": path.name, "epoch": 4, "step": 90}
    module = Module()
    load(module, found)
    assert (module.weight.tolist(), module.bias.tolist()) == ([[1.0, 2.0]], [3.0])


def test_a_checkpoint_that_is_not_there(folder):
    with pytest.raises(
        RunFolderError, match=r"checkpoint=best: there is no .*best\.ckpt\. The run has written none yet"
    ):
        find_checkpoint(folder, "best")
    write(folder.checkpoints / "last.ckpt")
    with pytest.raises(RunFolderError, match=r"checkpoint=best: there is no .*best\.ckpt\. Type checkpoint=last\."):
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


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": [1]}, {"global_step": "x"}, {"epoch": torch.ones(2)}, {"state_dict": {"weight": 1}}, {"state_dict": [1]}, {"state_dict": {1: torch.ones(1)}},
        {"hyper_parameters": torch.ones(2)}, {"hyper_parameters": {"label_space": 1, "classes": ["a"]}},
        *({"hyper_parameters": {"label_space": "toy", "classes": classes}} for classes in (3, [1], [["a"]], ["a", "a"], "ab")),
    ],
)  # fmt: skip
def test_values_of_other_types_are_refused(folder, changes):
    path = write(folder.checkpoints / "best.ckpt", **changes)
    with pytest.raises(RequestError, match=rf"checkpoint=best: {path} (holds|names)"):
        find_checkpoint(folder, "best")
