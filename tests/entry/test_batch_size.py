"""data.batch_size=auto on a stand-in of a GPU: steps run on the CPU, and raise what torch raises where a batch is too large."""

import pytest
import torch
import yaml

from entry import batch_size
from entry.steps import TrainingSteps

QUICK = ("trainer=cpu", "trainer.precision=32-true", "logger=csv", "data.num_workers=0", "trainer.max_epochs=1", "data.image_size=[16,16]",
         "data.train_eval_samples=4", "report.html=false", "data.batch_size=auto")  # fmt: skip


@pytest.fixture
def room(monkeypatch):
    """A function that sets how many samples of a step fit."""
    monkeypatch.setattr(batch_size, "MEMORY_LIMITED", ("cpu",))
    train_on = TrainingSteps.train_on

    def limit(samples):
        def limited(self, batch):
            if len(batch["index"]) > samples:
                raise torch.OutOfMemoryError("CUDA out of memory")
            train_on(self, batch)

        monkeypatch.setattr(TrainingSteps, "train_on", limited)

    return limit


# Of 36 pictures 25 are for training.
@pytest.mark.parametrize(
    ("samples", "typed", "size"),
    [(5, (), 4), (8, (), 8), (1000, (), 16), (4, ("trainer.accumulate=2",), 8), (1000, ("trainer.accumulate=3",), 24)],
)
def test_the_largest_power_of_two_that_fits_is_the_runs(room, run_command, image_folder, samples, typed, size):
    room(samples)
    data = ("data=image_folder", f"data.root={image_folder}")
    answer = run_command("train", *data, *QUICK, *typed)
    assert answer.code == 0, answer.err
    assert f"data.batch_size=auto: {size}" in answer.out
    assert yaml.safe_load((answer.folder / "config.yaml").read_text())["data"]["batch_size"] == size


def test_it_trains_as_with_the_number_that_was_found(room, run_command, mask_folder):
    room(4)
    data = (
        "model=deeplabv3_mobilenet_v3_large",
        "data=mask_folder",
        f"data.root={mask_folder}",
        "data.classes=[sky,road,car]",
    )
    found = run_command("train", *data, *QUICK)
    assert found.code == 0, found.err
    typed = run_command("train", *data, *QUICK[:-1], "data.batch_size=4")
    first, second = (torch.load(each.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for each in (found, typed))  # fmt: skip
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_what_cannot_be_found_is_refused_without_a_folder(room, run_command, image_folder, tmp_path, monkeypatch):
    data = ("data=image_folder", f"data.root={image_folder}", f"hydra.run.dir={tmp_path / 'run'}")
    room(1)
    answer = run_command("train", *data, *QUICK)
    assert (answer.code, "not even 2 images fit into the GPU's memory" in answer.err) == (2, True)
    monkeypatch.setattr(batch_size, "MEMORY_LIMITED", ("gpu",))
    answer = run_command("train", *data, *QUICK)
    assert answer.code == 2
    assert answer.err.strip().endswith("Type a number, such as data.batch_size=32.")
    answer = run_command("train", *data, *QUICK[:-1], "data.batch_size=all")
    assert (answer.code, "must be a whole number of at least 1; of train.py also auto" in answer.err) == (2, True)
    assert not (tmp_path / "run").exists()
