"""Keys of docs/TRAINING.md through the commands: a stopped run ends as an undisturbed one, and two ranks train as one."""

import csv
import json
import signal

import pytest
import torch
import yaml

from lightning_modules.networks.compiled import compiler
from tests.chaos.harness import compare, signal_after
from tests.test_train import QUICK

pytest.importorskip("timm")
COMMON = (*QUICK, "data=image_folder", "data.batch_size=6", "data.image_size=[32,32]", "model.weights=none", "checkpointing.every_n_steps=1")  # fmt: skip
NORMS = (*COMMON, "model=timm", "model.name=test_vit")  # LayerNorm: two ranks can be compared with one
BATCHES = (*COMMON, "model=timm", "model.name=test_resnet", "optimizer=sgd")  # BatchNorm
PARTS = ("optimizer.encoder_lr=0.002", "optimizer.weight_decay_norms=false", "scheduler=cosine")
LAYERS = ("optimizer.layer_decay=0.8", "scheduler=cosine", "scheduler.warmup_steps=3")
STEPS = ("trainer.max_steps=7", "scheduler=poly")  # an epoch has 4
FROZEN = ("model.freeze_epochs=1", "trainer.gradient_checkpointing=true", "scheduler=cosine")
KEYS = {
    "parts": (*BATCHES, *PARTS),
    "layers": (*BATCHES, *LAYERS),
    "steps": (*BATCHES, *STEPS),
    "frozen": (*BATCHES, *FROZEN),
}
ON_RANKS = {"parts": (*NORMS, *PARTS, "optimizer=sgd"), "layers": (*NORMS, *LAYERS, "optimizer=sgd", "loss=focal"),
            "steps": (*NORMS, *STEPS, "optimizer=sgd"), "frozen": (*NORMS, *FROZEN, "optimizer=sgd")}  # fmt: skip


def state(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def rows(folder):
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("step", [3, 7])
@pytest.mark.parametrize("typed", KEYS.values(), ids=KEYS)
def test_a_stopped_run_ends_as_an_undisturbed_one(run_command, tmp_path, image_folder, typed, step):
    for name in ("whole", "stopped"):
        with signal_after(step=step if name == "stopped" else 10**9):
            answer = run_command("train", f"hydra.run.dir={tmp_path / name}", f"data.root={image_folder}", *typed)
        assert answer.code == (128 + signal.SIGTERM if name == "stopped" else 0), answer.err
    answer = run_command("train", f"resume={tmp_path / 'stopped'}")
    assert answer.code == 0, answer.err
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []


@pytest.mark.slow
@pytest.mark.parametrize("typed", ON_RANKS.values(), ids=ON_RANKS)
def test_two_ranks_train_as_one(run_command, tmp_path, image_folder, typed):
    for name, devices in (("one", ()), ("two", ("trainer=ddp_cpu", "trainer.devices=2"))):
        answer = run_command("train", f"hydra.run.dir={tmp_path / name}", f"data.root={image_folder}", *typed, *devices)
        assert answer.code == 0, answer.err
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    torch.testing.assert_close(two["state_dict"], one["state_dict"], rtol=1e-4, atol=1e-5)
    assert [row["lr"] for row in rows(tmp_path / "one")] == [row["lr"] for row in rows(tmp_path / "two")]


@pytest.fixture
def stopped(run_command, tmp_path, image_folder):
    """A function that trains with further keys until step 4, and returns the folder."""

    def of(*typed):
        with signal_after(step=4):
            answer = run_command("train", f"hydra.run.dir={tmp_path / 'run'}", f"data.root={image_folder}", *typed)
        assert answer.code == 128 + signal.SIGTERM, answer.err
        return tmp_path / "run"

    return of


def test_a_resumed_run_may_have_other_rates_for_both_parts(run_command, stopped):
    folder = stopped(*BATCHES, "optimizer.encoder_lr=0.001")
    changed = ("optimizer.lr=0.5", "optimizer.encoder_lr=0.25", "resume_with_changes=true")
    answer = run_command("train", f"resume={folder}", *changed)
    assert answer.code == 0, answer.err
    assert [group["lr"] for group in state(folder)["optimizer_states"][0]["param_groups"]] == [0.5, 0.25]
    assert float(rows(folder)[-1]["lr"]) == 0.5


@pytest.mark.parametrize(("first", "then"), [("optimizer.encoder_lr=0.001", "optimizer.encoder_lr=null"), ("optimizer.lr=0.1", "optimizer.weight_decay_norms=false")])  # fmt: skip
def test_groups_that_a_checkpoint_lacks_are_refused(run_command, stopped, first, then):
    folder = stopped(*BATCHES, first)
    answer = run_command("train", f"resume={folder}", then, "resume_with_changes=true")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"{then.partition('=')[0]}: a checkpoint holds the optimiser's state by groups")
    assert json.loads((folder / "status.json").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("optimizer.encoder_lr=0.01",), "optimizer.encoder_lr: CustomCNN has no pretrained encoder"),
        (("model=resnet18", "optimizer.layer_decay=0.5"), "optimizer.layer_decay: layers are known of timm's networks only"),
        (("model.freeze_epochs=1",), "model.freeze_epochs: CustomCNN has no pretrained encoder"),
        (("trainer.gradient_checkpointing=true", "trainer.compile=true", "model=resnet18"), "trainer.gradient_checkpointing=true: torch.compile"),
        (("trainer.max_steps=0",), "trainer.max_steps=0: must be"),
        (("optimizer.encoder_lr=0",), "optimizer.encoder_lr=0: must be"),
        (("model=resnet18", "optimizer.encoder_lr=0.01", "scheduler=cosine", "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR"),
         "optimizer.encoder_lr and layer_decay: torch.optim.lr_scheduler.OneCycleLR has one rate"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(run_command, tmp_path, image_folder, typed, message):
    answer = run_command("train", *COMMON, f"data.root={image_folder}", *typed)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_training_ends_at_its_step_with_a_validation_and_its_checkpoint(run_command, image_folder):
    answer = run_command("train", *BATCHES, f"data.root={image_folder}", *STEPS)
    assert answer.code == 0, answer.err
    assert "2 epochs (7 steps)" in answer.out
    found = rows(answer.folder)
    assert [row["step"] for row in found] == ["4", "7"]
    assert all(row["val/loss"] for row in found)
    assert state(answer.folder)["global_step"] == 7
    assert float(found[-1]["lr"]) == 0  # poly reaches it at the last of all steps
    config = yaml.safe_load((answer.folder / "config.yaml").read_text())
    assert (config["trainer"]["max_epochs"], config["trainer"]["max_steps"]) == (2, 7)


def test_a_run_of_whole_epochs_can_be_given_more_steps(run_command, tmp_path, image_folder):
    for name, steps in (("whole", 7), ("longer", 4)):
        answer = run_command(
            "train",
            *BATCHES,
            f"data.root={image_folder}",
            f"trainer.max_steps={steps}",
            f"hydra.run.dir={tmp_path / name}",
        )
        assert answer.code == 0, answer.err
    answer = run_command("train", f"resume={tmp_path / 'longer'}", "trainer.max_steps=7")
    assert answer.code == 0, answer.err
    assert "trainer.max_steps is now 7, not 4; the learning rate follows its schedule over all of them." in answer.out
    assert [row["step"] for row in rows(tmp_path / "longer")] == ["4", "7"]
    assert compare(tmp_path / "whole", tmp_path / "longer") == []


@pytest.mark.parametrize(
    ("before", "typed", "message"),
    [
        ("trainer.max_steps=7", "trainer.max_steps=9", "trainer.max_steps=9: the run has ended, in the middle of an epoch"),
        ("trainer.max_epochs=2", "trainer.max_steps=40", "The length of this run is trainer.max_epochs=2."),
    ],
)  # fmt: skip
def test_another_length_that_would_be_another_run_is_refused(
    run_command, tmp_path, image_folder, before, typed, message
):
    folder = tmp_path / "run"
    assert run_command("train", *BATCHES, f"data.root={image_folder}", before, f"hydra.run.dir={folder}").code == 0
    written = (folder / "config.yaml").read_bytes()
    answer = run_command("train", f"resume={folder}", typed)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert (folder / "config.yaml").read_bytes() == written


def test_a_script_that_is_started_again_goes_on_to_the_same_step(run_command, tmp_path, image_folder):
    typed = (*BATCHES, f"data.root={image_folder}", "trainer.max_steps=10")  # three epochs, where two are typed
    assert run_command("train", *typed, f"hydra.run.dir={tmp_path / 'whole'}").code == 0
    again = (*typed, f"hydra.run.dir={tmp_path / 'again'}", "resume=auto")
    with signal_after(step=3):
        assert run_command("train", *again).code == 128 + signal.SIGTERM
    for _ in range(2):  # the second time it is finished
        answer = run_command("train", *again)
        assert answer.code == 0, answer.err
    assert compare(tmp_path / "whole", tmp_path / "again") == []


def test_fewer_steps_than_a_stopped_run_has_taken_are_refused(run_command, stopped):
    folder = stopped(*BATCHES, "trainer.max_steps=7")
    answer = run_command("train", f"resume={folder}", "trainer.max_steps=3")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"trainer.max_steps=3: {folder} has taken 4 steps already.")
    answer = run_command("train", f"resume={folder}", "trainer.max_epochs=9")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        "The length of this run is trainer.max_steps=7. For another one type trainer.max_steps=NUMBER."
    )


@pytest.mark.slow
def test_a_compiled_training_ends_near_a_plain_one_and_is_evaluated_as_one(run_command, tmp_path, image_folder):
    """torch's own compiler, where there is one for C++."""
    if compiler() is None:
        pytest.skip("no C++ compiler")
    typed = (*COMMON, f"data.root={image_folder}", "optimizer=sgd", "trainer.precision=32-true", "trainer.max_epochs=1")
    for name, more in (("plain", ()), ("compiled", ("trainer.compile=true",))):
        answer = run_command("train", *typed, *more, f"hydra.run.dir={tmp_path / name}")
        assert answer.code == 0, answer.err
    one, other = (state(tmp_path / name)["state_dict"] for name in ("plain", "compiled"))
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    scores = (tmp_path / "compiled/evaluation/test/per_sample.npz").read_bytes()
    answer = run_command("evaluate", f"run={tmp_path / 'compiled'}")
    assert answer.code == 0, answer.err
    assert (tmp_path / "compiled/evaluation/test/per_sample.npz").read_bytes() == scores
