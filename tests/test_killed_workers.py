"""Reading processes that are killed, and too little shared memory, in each command that has them: a clear end, and no hang."""

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from lightning_modules.classification import ClassificationModule
from tests.chaos.harness import ROOT
from tests.conftest import make_image_folder
from tests.test_train import QUICK

DATA = (
    "data=image_folder",
    "data.batch_size=4",
    "data.eval_batch_size=2",
    "data.cache=false",
    *QUICK,
    "data.num_workers=1",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny", per_class=20)


@pytest.fixture(scope="module")
def trained(run_shared_command, pictures):
    answer = run_shared_command("train", f"data.root={pictures}", *DATA, "trainer.max_epochs=1")
    assert answer.code == 0, answer.err
    return answer.folder


@pytest.fixture(autouse=True)
def _none_is_left():
    """A command ends its process; here the next one would meet the end of this one's workers, as an error of torch's handler."""
    yield
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    gc.collect()
    signal.signal(signal.SIGCHLD, handler)


def kill_workers():
    children, killed = multiprocessing.active_children(), 0
    for child in children:
        with contextlib.suppress(ProcessLookupError):  # of a loader that is being closed
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
    assert killed, "there is nothing to kill"


def once(monkeypatch, owner, name, when=lambda *_: True):
    """Kill all reading processes before the first call of a method for which `when` holds."""
    plain, done = getattr(owner, name), []

    def call(self, *arguments, **keys):
        if not done and when(self, *arguments):
            done.append(True)
            kill_workers()
        return plain(self, *arguments, **keys)

    monkeypatch.setattr(owner, name, call)
    return done


# Workers live from epoch to epoch; in the second epoch they are those of the first.
@pytest.mark.parametrize(
    ("stage", "owner", "name", "when"),
    [
        ("training", ClassificationModule, "training_step", lambda module, *_: module.trainer.current_epoch == 1),
        ("validation", ClassificationModule, "evaluate_batch", lambda module, _, stream: stream == "val" and module.trainer.current_epoch == 1),
        ("the closing evaluation", ClassificationModule, "evaluate_batch", lambda _, __, stream: stream == "test"),
    ],
)  # fmt: skip
def test_a_worker_that_is_killed_ends_a_training(run_command, pictures, monkeypatch, stage, owner, name, when):
    done = once(monkeypatch, owner, name, when)
    answer = run_command("train", f"data.root={pictures}", *DATA)
    assert done, stage
    check(answer)


def check(answer):
    assert answer.code == 1, answer.err
    assert "Traceback" not in answer.err
    last = answer.err.splitlines()[-1]
    assert (
        "was ended, as by SIGKILL, which the kernel sends where the memory is used up. Type data.num_workers=0, or fewer"
        in last
    )


def test_a_worker_that_is_killed_ends_an_evaluation_and_a_prediction(run_command, pictures, trained, monkeypatch):
    done = once(monkeypatch, ClassificationModule, "evaluate_batch")
    before = (trained / "evaluation/test/scores.json").read_bytes()
    answer = run_command("evaluate", f"run={trained}")
    assert done
    check(answer)
    assert (trained / "evaluation/test/scores.json").read_bytes() == before
    predicted = once(monkeypatch, ClassificationModule, "predict_logits")
    answer = run_command("predict", f"run={trained}", f"source={pictures}", "hydra.run.dir=out")
    assert predicted
    check(answer)


def test_the_state_of_the_run_has_the_reason(run_command, pictures, monkeypatch, tmp_path):
    once(monkeypatch, ClassificationModule, "training_step")
    run_command("train", f"data.root={pictures}", *DATA, f"hydra.run.dir={tmp_path / 'run'}")
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 1)
    assert "was ended, as by SIGKILL" in status["error"]


FILL = "head -c 2M /dev/zero > /dev/shm/full 2> /dev/null; "


def small(size, command, *typed, before=""):
    """Run a command where /dev/shm is a real tmpfs of a size; skipped where none can be mounted."""
    mount = f"mount -t tmpfs -o size={size} none /dev/shm && "
    if subprocess.run(["unshare", "-m", "sh", "-c", f"{mount} true"], check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted over /dev/shm here (unshare -m, as root)")
    line = f'{mount} {before} exec "$0" "$@"'
    environment = {**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(["unshare", "-m", "bash", "-c", line, sys.executable, str(ROOT / command), *typed], env=environment, cwd=ROOT,
                          check=False, capture_output=True, text=True, timeout=240)  # fmt: skip


LARGE = ("data.image_size=[200,200]", "data.batch_size=8", "trainer.max_epochs=1", "report.html=false")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "before"), [("1m", ""), ("1m", FILL)])
def test_with_a_tiny_or_full_dev_shm_images_are_read_by_the_command_itself(tmp_path, pictures, size, before):
    chosen = small(size, "train.py", f"hydra.run.dir={tmp_path / 'run'}", f"data.root={pictures}", *DATA, *LARGE, "data.num_workers=null", before=before)  # fmt: skip
    assert chosen.returncode == 0, chosen.stderr
    assert (tmp_path / "run/evaluation/test/scores.json").exists()


@pytest.mark.slow
def test_typed_workers_are_refused_with_the_size_of_dev_shm(tmp_path, pictures):
    typed = small("1m", "train.py", f"hydra.run.dir={tmp_path / 'run'}", f"data.root={pictures}", *DATA, *LARGE)
    assert typed.returncode == 2, typed.stderr
    assert "data.num_workers=1: batches of 960.0 kB go through shared memory, where /dev/shm has" in typed.stderr
    assert "Type data.num_workers=0, or enlarge it, for example with docker run --shm-size=1g" in typed.stderr
    assert not (tmp_path / "run").exists()


LOADERS = """
import shutil
from datamodules.loading import dataset
dataset.core_share = lambda _: 64
opened = []
for _ in range(4):  # train, val, train_eval and test
    batches = [[number] for number in range(9)]
    loader = dataset.make_loader(range(9), batches, None, pin_memory=False, kept=True, batch_bytes=1, collate_fn=lambda items: {"item": items})
    assert loader.num_workers == dataset.MOST_WORKERS
    opened.append((loader, iter(loader)))
    next(opened[-1][1])
print(shutil.disk_usage("/dev/shm").used, dataset.SEMAPHORES)
"""


@pytest.mark.slow
def test_what_is_left_free_for_semaphores_is_what_loaders_take(tmp_path):
    program = tmp_path / "loaders.py"
    program.write_text(LOADERS)
    answer = small("8m", program)
    assert answer.returncode == 0, answer.stderr
    used, left = map(int, answer.stdout.split())
    assert 0.5 * left < used <= left


PROGRAM = """
import sys
from callbacks.checkpoints import Checkpoints
plain = Checkpoints.on_train_epoch_end
def end(self, *arguments):
    plain(self, *arguments)
    with open("/dev/shm/full", "wb") as file:
        try:
            file.write(bytes(2**24))
        except OSError:
            pass
Checkpoints.on_train_epoch_end = end
from train import train
train()
"""


@pytest.mark.slow
def test_a_dev_shm_that_fills_up_in_the_middle_ends_the_run_with_its_size(tmp_path, pictures):
    program = tmp_path / "filling.py"
    program.write_text(PROGRAM)
    keys = (*DATA, "data.image_size=[200,200]", "trainer.max_epochs=3", f"hydra.run.dir={tmp_path / 'run'}")
    answer = small("8m", program, f"data.root={pictures}", *keys)
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    last = answer.stderr.splitlines()[-1]
    assert "Shared memory is full: /dev/shm has 8.4 MB, of which " in last
    assert "are free. Enlarge it (docker run --shm-size=1g), or type data.num_workers=0" in last
    assert last in json.loads((tmp_path / "run/status.json").read_text())["error"]
