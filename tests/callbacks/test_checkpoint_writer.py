import subprocess
import sys
from pathlib import Path

import pytest
import torch

from callbacks.checkpoint_writer import earlier
from callbacks.checkpoints import Checkpoints
from callbacks.errors import RunStopped
from callbacks.history import HistoryWriter
from callbacks.signals import StopSignal
from lightning_modules.checkpoint_io import CheckpointFiles
from lightning_modules.errors import TrainingError
from run_files import read_csv
from settings.training import CheckpointingSettings
from tests.callbacks.disks import FullIn
from tests.callbacks.tiny import Feeder, Line, trainer

SCORES = "val/f1_macro"  # 0.3, 0.9, 0.5, 0.6 at the ends of the epochs of `Line`
BELOW_CHECKPOINTS = 1500  # bytes: history.csv has fewer, a checkpoint more
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fit(tmp_path):
    """Train `Line` for four epochs of four steps in a run's folder, while a disk is full."""
    full = []

    def call(disk=None, *more, name="run", resume_from=None, **settings):
        folder = tmp_path / name
        signal = StopSignal()
        checkpoints = Checkpoints(folder / "checkpoints", SCORES, signal, CheckpointingSettings(**settings))
        callbacks = [signal, *([disk] if disk else []), *more, HistoryWriter(folder / "history.csv"), checkpoints]
        run = trainer(folder, callbacks, epochs=4, plugins=[CheckpointFiles()], enable_checkpointing=True)
        full.append(disk)
        torch.manual_seed(0)
        try:
            with signal.listening():
                run.fit(Line(), datamodule=Feeder(), ckpt_path=resume_from)
        finally:
            if disk:
                disk.release()
        return folder

    yield call
    for disk in full:
        if disk:
            disk.release()


def read(folder, name):
    return torch.load(folder / "checkpoints" / name, weights_only=True)


def epochs(folder):
    return [row["epoch"] for row in read_csv(folder / "history.csv")]


def same_weights(one, other, name):
    a, b = (read(folder, name)["state_dict"] for folder in (one, other))
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("size", [0, BELOW_CHECKPOINTS])
def test_what_could_not_be_written_is_written_as_soon_as_it_can_be(fit, capsys, size):
    """The best epoch is among those of which nothing could be written: neither it nor a row is lost."""
    whole = fit(name="whole")
    capsys.readouterr()
    run = fit(FullIn(1, 2, size=size, until_step=10), every_n_steps=3)
    assert epochs(run) == ["0", "1", "2", "3"]
    assert {name: read(run, f"{name}.ckpt")["epoch"] for name in ("best", "last")} == {"best": 1, "last": 3}
    assert all(same_weights(run, whole, f"{name}.ckpt") for name in ("best", "last"))
    assert read(run, "last.ckpt")["callbacks"] == read(whole, "last.ckpt")["callbacks"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    # At steps 6, 8 and 9 of 3, 4, 6, 8, 9, 12, 15 and 16. Within an epoch there is no new row, and no better score.
    named = (
        ["checkpoints/last.ckpt", *["history.csv"] * 2]
        if size == 0
        else ["checkpoints/last.ckpt", *["checkpoints/best.ckpt"] * 2]
    )
    expected = [f"warning: {run}/{file} cannot be written: File too large. The file before stays" for file in named]
    assert [line.split(" as it was")[0] for line in warnings] == expected
    assert [line.split("in a row: ")[1][0] for line in warnings] == ["1", "2", "3"]


def test_after_too_many_failures_the_run_ends_and_the_files_before_are_whole(fit, tmp_path):
    class Keep(FullIn):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
            super().on_train_epoch_start(trainer, pl_module)

    disk = Keep(1, 2, 3)
    with pytest.raises(TrainingError) as error:
        fit(disk, failures_allowed=1)
    run = tmp_path / "run"
    assert str(error.value) == (
        f"{run}/history.csv cannot be written: File too large, 2 times in a row. Make room and go on, the checkpoint of step 4 is "
        f"whole: python train.py resume={run}"
    )
    assert {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()} == disk.before
    whole = fit(name="whole")
    again = fit(resume_from=run / "checkpoints/last.ckpt")
    assert epochs(again) == epochs(whole) == ["0", "1", "2", "3"]
    assert all(same_weights(again, whole, name) for name in ("best.ckpt", "last.ckpt"))


def test_none_allowed_ends_at_the_first_and_a_success_begins_the_count_anew(fit):
    with pytest.raises(
        TrainingError,
        match=r"history\.csv cannot be written: File too large\. Make room and go on, there is no checkpoint yet",
    ):
        fit(FullIn(0), name="first", failures_allowed=0)
    fit(FullIn(0, 2), failures_allowed=1)


def test_what_is_missing_at_the_end_is_no_success(fit, tmp_path):
    with pytest.raises(
        TrainingError, match=r"last\.ckpt cannot be written: File too large, 2 times in a row.* step 12 is whole"
    ):
        fit(FullIn(3, size=BELOW_CHECKPOINTS), failures_allowed=99)
    assert read(tmp_path / "run", "last.ckpt")["global_step"] == 12
    assert epochs(tmp_path / "run") == ["0", "1", "2", "3"]  # a resume drops the row that it writes again


def test_what_can_be_written_at_the_end_after_all_is_a_success(fit):
    class UntilTheEnd(FullIn):
        def on_train_end(self, trainer, pl_module):
            self.release()

    whole, run = fit(name="whole"), fit(UntilTheEnd(2, 3), failures_allowed=99)
    assert epochs(run) == ["0", "1", "2", "3"]
    last, expected = read(run, "last.ckpt"), read(whole, "last.ckpt")
    assert (last["global_step"], last["loops"]) == (16, expected["loops"])
    assert earlier(run / "checkpoints") == []


def test_a_signal_stops_a_run_whose_disk_is_full_and_the_file_is_named(fit, capsys, tmp_path):
    class Stop(FullIn):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 6:
                next(each for each in trainer.callbacks if isinstance(each, StopSignal)).number = 15

    with pytest.raises(RunStopped):
        fit(Stop(1, size=BELOW_CHECKPOINTS))
    assert (
        f"warning: {tmp_path}/run/checkpoints/last.ckpt cannot be written: File too large." in capsys.readouterr().err
    )
    assert read(tmp_path / "run", "last.ckpt")["global_step"] == 4


FILLED = """
import shutil, sys
from pathlib import Path
import pytest, torch
from lightning.pytorch.callbacks import Callback
from callbacks.checkpoints import Checkpoints
from callbacks.history import HistoryWriter
from callbacks.signals import StopSignal
from lightning_modules.checkpoint_io import CheckpointFiles
from settings.training import CheckpointingSettings
from tests.callbacks.tiny import Feeder, Line, trainer

root = Path(sys.argv[1])

class Fill(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        junk = root / "junk"
        if trainer.current_epoch == 1:
            with pytest.raises(OSError), junk.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))
        elif trainer.current_epoch == 3:
            assert shutil.disk_usage(root).free == 0
            junk.unlink()

signal = StopSignal()
writers = [HistoryWriter(root / "history.csv"), Checkpoints(root / "checkpoints", "val/f1_macro", signal, CheckpointingSettings())]
run = trainer(root, [signal, Fill(), *writers], epochs=4, plugins=[CheckpointFiles()], enable_checkpointing=True)
run.fit(Line(), datamodule=Feeder())
print([(name, torch.load(root / f"checkpoints/{name}.ckpt", weights_only=True)["epoch"]) for name in ("best", "last")])
print((root / "history.csv").read_text().count(chr(10)), sorted(path.name for path in root.rglob("*")))
"""


@pytest.mark.slow
def test_a_disk_that_is_full_for_two_epochs_costs_nothing_but_warnings(tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    typed = f"mount -t tmpfs -o size=128k none {tmp_path} && '{sys.executable}' -W ignore -c '{FILLED}' {tmp_path}"
    answer = subprocess.run(
        ["unshare", "-rm", "bash", "-c", typed], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-2:] == [
        "[('best', 1), ('last', 3)]",
        "5 ['best.ckpt', 'checkpoints', 'history.csv', 'last.ckpt']",
    ]
    assert answer.stderr.count("history.csv cannot be written: No space left on device") == 2
