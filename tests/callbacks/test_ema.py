"""The average of the weights: against a plain loop, in what is validated and kept, and after a stop."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from callbacks.ema import AveragedWeights
from tests.callbacks.tiny import loader, trainer
from tests.chaos.harness import (
    ROOT,
    Setting,
    compare,
    finish,
    in_phase,
    kill_and_resume,
    make_data,
    signal_after,
    start,
)
from tests.test_train import QUICK

DECAY = 0.6  # reached at the fourth step: 5 / 14 and so on before that
KEYS = (
    *QUICK,
    "data=image_folder",
    "data.batch_size=5",
    "optimizer.lr=0.01",
    "model.network.dropout=0.3",
    "checkpointing.every_n_steps=1",
)


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


def loss_of(model, batch):
    return (model(batch) - 2 * batch).square().mean()


class Curve(lightning.LightningModule):
    """Learns y = 2 x, and remembers what its validations saw and what its epochs began with."""

    def __init__(self):
        super().__init__()
        self.network = network()
        self.validated, self.begun = [], []

    def training_step(self, batch, index):
        return loss_of(self.network, batch)

    def on_train_epoch_start(self):
        self.begun.append(copied(self.network))

    def validation_step(self, batch, index):
        if index == 0:
            self.validated.append(copied(self.network))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def plain_loop(epochs, accumulate):
    """(average, weights) after each epoch, number by number."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    average, step, ends = copied(model), 0, []
    for _ in range(epochs):
        for index, batch in enumerate(loader()):
            (loss_of(model, batch) / accumulate).backward()
            if (index + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                d = min(DECAY, (1 + step) / (10 + step))
                for name, weight in model.state_dict().items():
                    counts = name.endswith("num_batches_tracked")
                    average[name] = weight.clone() if counts else d * average[name] + (1 - d) * weight
        ends.append(({name: tensor.clone() for name, tensor in average.items()}, copied(model)))
    return ends


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_validated_and_kept_is_the_average_that_a_plain_loop_finds(tmp_path, accumulate):
    module = Curve()
    run = trainer(tmp_path, [AveragedWeights(DECAY)], epochs=3, accumulate_grad_batches=accumulate)
    run.fit(module, loader(), loader())
    run.save_checkpoint(tmp_path / "end.ckpt")
    kept = torch.load(tmp_path / "end.ckpt", weights_only=True)
    wanted = plain_loop(3, accumulate)
    assert run.global_step == 12 // accumulate
    for (average, _), seen in zip(wanted, module.validated, strict=True):
        assert_same(seen, average)
    for (_, weights), seen in zip(wanted, module.begun[1:], strict=False):
        assert_same(seen, weights)
    inside = {key: {name.removeprefix("network."): t for name, t in kept[key].items()} for key in ("state_dict", "current_state_dict")}  # fmt: skip
    assert_same(inside["state_dict"], wanted[-1][0])
    assert_same(inside["current_state_dict"], wanted[-1][1])


@pytest.fixture
def train(run_command, tmp_path, image_folder):
    def call(name, *typed):
        folder = tmp_path / name
        return run_command("train", f"hydra.run.dir={folder}", *KEYS, f"data.root={image_folder}", *typed), folder

    return call


@pytest.fixture(scope="module")
def averaged(run_shared_command, workplace, image_folder):
    """A run whose weights are averaged."""
    folder = workplace / "averaged"
    answer = run_shared_command("train", f"hydra.run.dir={folder}", *KEYS, f"data.root={image_folder}", "ema.decay=0.9")
    assert answer.code == 0, answer.err
    return folder


def checkpoint(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_evaluations_repeat_the_validation(evaluate, run):
    """`evaluate(checkpoint)` scores val; its scores must be those of the checkpoint's row in history.csv."""
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("best", "last"):
        kept = checkpoint(run, name)
        assert any(not torch.equal(w, kept["state_dict"][n]) for n, w in kept["current_state_dict"].items())
        evaluate(name)
        found = json.loads((run / "evaluation/val/scores.json").read_text())
        row = rows[kept["epoch"]]
        for score in ("loss", "accuracy", "f1_macro", "miou"):
            assert float(row[f"val/{score}"]) == float(np.float32(found[score])), (name, score)


@pytest.mark.parametrize("typed", [(), ("trainer.precision=bf16-mixed", "data.batch_size=10", "trainer.accumulate=2")])
def test_evaluating_gives_the_scores_of_the_validation(run_command, train, averaged, tmp_path, typed):
    if typed:
        answer, run = train("run", "ema.decay=0.9", *typed)
        assert answer.code == 0, answer.err
    else:
        run = Path(shutil.copytree(averaged, tmp_path / "run"))

    def evaluate(name):
        assert run_command("evaluate", f"run={run}", "split=val", f"checkpoint={name}").code == 0

    assert_evaluations_repeat_the_validation(evaluate, run)


def test_a_stopped_run_goes_on_to_the_same_bits(run_command, train, averaged):
    with signal_after(step=7):
        answer, stopped = train("stopped", "ema.decay=0.9")
    assert answer.code == 128 + signal.SIGTERM, answer.err
    answer = run_command("train", f"resume={stopped}")
    assert answer.code == 0, answer.err
    assert compare(averaged, stopped) == []
    kept = checkpoint(averaged, "last")
    assert kept["current_state_dict"].keys() == kept["state_dict"].keys()


def test_the_weights_that_train_are_those_of_a_run_without(train, averaged):
    _, plain = train("plain")
    without, with_it = checkpoint(plain, "last"), checkpoint(averaged, "last")
    assert "current_state_dict" not in without
    assert all(torch.equal(w, with_it["current_state_dict"][n]) for n, w in without["state_dict"].items())


def test_another_run_starts_from_the_average(train, averaged):
    path = averaged / "checkpoints/last.ckpt"
    answer, second = train("second", f"model.weights={path}", "ema.decay=0.9", "trainer.limit_batches=1", "optimizer.lr=1e-30", "trainer.max_epochs=1")  # fmt: skip
    assert answer.code == 0, answer.err
    given, taken = checkpoint(averaged, "last")["state_dict"], checkpoint(second, "last")["current_state_dict"]
    names = [name for name in given if name.endswith((".weight", ".bias"))]
    assert names
    assert all(torch.equal(given[name], taken[name]) for name in names)


def test_averaging_can_begin_and_end_in_a_resumed_run_where_that_is_wanted(run_command, train):
    _, run = train("run", "trainer.max_epochs=1")
    for epochs, decay in ((2, "0.9"), (3, "null")):
        typed = (f"trainer.max_epochs={epochs}", f"ema.decay={decay}", "resume_with_changes=true")
        answer = run_command("train", f"resume={run}", *typed)
        assert answer.code == 0, answer.err
        assert ("current_state_dict" in checkpoint(run, "last")) == (decay != "null")


@pytest.mark.slow
def test_two_ranks_validate_what_one_evaluates_and_a_kill_changes_nothing(tmp_path):
    data = make_data(tmp_path / "data", "classification")
    setting = Setting(2, 0, 0, extra=("ema.decay=0.9", "optimizer.lr=0.01"))
    whole = tmp_path / "whole"
    finish(start(f"hydra.run.dir={whole}", f"data.root={data}", "data.num_workers=0", *setting.typed))
    assert kill_and_resume(tmp_path, data, setting, [in_phase("step", 6)], whole)[0].differences == []

    def evaluate(name):
        command = [sys.executable, "evaluate.py", f"run={whole}", "trainer=cpu", "trainer.threads=1"]
        typed = ["trainer.precision=32-true", "split=val", f"checkpoint={name}"]
        subprocess.run([*command, *typed], cwd=ROOT, check=True, capture_output=True, timeout=120)

    assert_evaluations_repeat_the_validation(evaluate, whole)
