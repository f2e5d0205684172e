"""A step that runs out of memory, in each command: which size it was, what to lower, exit code 1, and no traceback.

On a stand-in of a GPU: the network raises what torch raises there, at the batch size that each case names.
"""

import pytest
import torch

from lightning_modules.networks.custom_cnn import CustomCNN
from tests.test_train import QUICK

DATA = ("data=image_folder", "data.batch_size=8", "data.eval_batch_size=6", "data.eval_size=[20,24]", *QUICK)
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB.")
HOST = MemoryError("Unable to allocate 3.00 GiB for an array")


@pytest.fixture
def lacking(monkeypatch):
    """A function that makes batches of some size, in training or in evaluation, raise an error."""
    plain = CustomCNN.forward

    def make(error, training, height):
        def forward(self, images):
            if self.training == training and images.shape[2] == height:
                raise error
            return plain(self, images)

        monkeypatch.setattr(CustomCNN, "forward", forward)

    return make


@pytest.fixture(scope="module")
def trained(run_shared_command, image_folder):
    answer = run_shared_command("train", f"data.root={image_folder}", *DATA)
    assert answer.code == 0, answer.err
    return answer.folder


EVALUATION = "evaluating 6 images of 24×20 pixels at a time", "Type data.eval_batch_size=3"
STEP = "a training step of 8 images of 16×16 pixels (data.batch_size=8)", "Type trainer.accumulate=2 (the same step"


@pytest.mark.parametrize("error", [GPU, HOST])
@pytest.mark.parametrize(
    ("command", "where", "said"),
    [
        ("train", (True, 16), STEP),
        ("train", (False, 20), EVALUATION),
        ("evaluate", (False, 20), EVALUATION),
        ("predict", (False, 20), EVALUATION),
    ],
)
def test_the_size_and_the_keys_are_named(run_command, image_folder, trained, lacking, error, command, where, said):
    lacking(error, *where)
    typed = {
        "train": (f"data.root={image_folder}", *DATA),
        "evaluate": (f"run={trained}",),
        "predict": (f"run={trained}", f"source={image_folder}"),
    }
    before = (trained / "evaluation/test/scores.json").read_bytes()
    answer = run_command(command, *typed[command])
    assert answer.code == 1
    assert "Traceback" not in answer.err
    last = answer.err.splitlines()[-1]
    assert all(each in last for each in said)
    assert str(error).split(".")[0] in last
    assert (trained / "evaluation/test/scores.json").read_bytes() == before
