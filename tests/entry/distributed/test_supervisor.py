"""Several processes: one folder, the same scores, and an end for all when one dies."""

import contextlib
import functools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.harness import ROOT, SITE, Setting, compare, finish, phase_of, resume, start, train, undisturbed
from tests.conftest import make_image_folder, make_mask_folder

pytestmark = pytest.mark.slow
VIEWS = ("evaluation.flip=true", "evaluation.scales=[1.0,1.5]", "evaluation.window=[24,32]", "report.region_sizes=true")
SCORES = (
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "miou",
    "miou_image",
    "fwiou",
    "loss",
    "n_expected",
    "n_seen",
    "n_unique",
    "classes",
    "intervals",
    "baselines",
)


def scores(run, split="test"):
    return json.loads((run / "evaluation" / split / "scores.json").read_text())


def slices(run):
    return (run / "evaluation/test/slices.csv").read_text()


def status(run):
    return json.loads((run / "status.json").read_text())


def call(*typed, timeout=240, **environment):
    return subprocess.run(
        [sys.executable, *map(str, typed)], check=False, cwd=ROOT, timeout=timeout, capture_output=True, text=True,
        env={**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1", **environment},
    )  # fmt: skip


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def wait_for(condition, process, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def rank_pids(run):
    return {int(path.stem): int(path.read_text()) for path in run.glob(".ranks-*.tmp/*.pid")}


def below(pid):
    """All processes that a process has started, and theirs."""
    children = [int(pid) for path in Path(f"/proc/{pid}/task").glob("*/children") for pid in path.read_text().split()]
    return [found for child in children for found in (child, *below(child))]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """29 for training, 4 and 9: no step or batch leaves a rank a single one."""
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny", per_class=14)


@pytest.fixture(scope="module")
def data(tmp_path_factory, pictures):
    """By task what it is trained on; of the frames 24 are for training, 3 and 8."""
    return {
        "classification": pictures,
        "segmentation": make_mask_folder(tmp_path_factory.mktemp("streets") / "tiny", 35),
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory, data):
    """By task and number of ranks a run that nothing happens to; made once."""
    return undisturbed(tmp_path_factory, data)


@pytest.fixture(scope="module")
def alone(reference):
    """By task, batch size and views a run, its scores and slices on one device, and what the command printed; made once."""

    @functools.cache
    def of(task, eval_batch_size, views):
        run = reference(task, 1)
        answer = call("evaluate.py", f"run={run}", f"data.eval_batch_size={eval_batch_size}", *views)
        assert answer.returncode == 0, answer.stderr
        return run, scores(run), slices(run), answer.stdout

    return of


@pytest.fixture
def endless(tmp_path, pictures):
    """Two ranks that train until somebody stops them."""
    run = tmp_path / "run"
    process = train(run, pictures, Setting(2, extra=("trainer.max_epochs=100000", "trainer.timeout=10")))
    wait_for((run / "history.csv").exists, process)
    yield run, process
    for pid in [process.pid, *rank_pids(run).values()]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


# Three batches, which no number of ranks but three divides; and a single one.
@pytest.mark.parametrize(
    ("task", "eval_batch_size", "ranks", "views"),
    [("classification", size, ranks, ()) for size in (3, 1000) for ranks in (2, 3, 4)]
    + [("segmentation", 3, 2, VIEWS), ("segmentation", 1000, 3, ())],
)
def test_a_checkpoint_has_the_same_scores_on_any_number_of_ranks(alone, task, eval_batch_size, ranks, views):
    run, expected, parts, printed = alone(task, eval_batch_size, views)
    typed = [
        f"run={run}",
        f"data.eval_batch_size={eval_batch_size}",
        "trainer=ddp_cpu",
        f"trainer.devices={ranks}",
        *views,
    ]
    several = call("evaluate.py", *typed, "trainer.threads=1", "trainer.precision=32-true")
    assert several.returncode == 0, several.stderr
    found = scores(run)
    assert {key: found[key] for key in SCORES} == {key: expected[key] for key in SCORES}
    assert slices(run) == parts
    assert ("region_size,small,8," in parts) == (views == VIEWS)
    assert found["n_seen"] == found["n_unique"] == found["n_expected"] == (9 if task == "classification" else 8)
    assert several.stdout.splitlines()[-2:] == printed.splitlines()[-2:]
    assert sorted(path.name for path in (run / "evaluation").iterdir()) == ["test"]


def test_two_ranks_train_in_one_folder_with_one_logged_run(tmp_path, pictures):
    run = tmp_path / "run"
    out = finish(start(f"hydra.run.dir={run}", f"data.root={pictures}", *Setting(2).typed, "logger=wandb"))
    assert out.splitlines()[-1] == str(run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    facts = json.loads((run / "environment.json").read_text())
    logged = [path.name.rsplit("-", 1)[-1] for path in (run / "wandb").glob("offline-run-*")]
    assert logged == [facts["logger"]["id"]]
    assert (facts["devices"], facts["nodes"], facts["threads"]) == (2, 1, 1)
    assert status(run)["state"] == "finished"
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 3
    assert scores(run)["n_unique"] == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_both_ranks_and_the_run_goes_on_as_if_it_had_not(tmp_path, pictures, reference, number):
    run, setting = tmp_path / "run", Setting(2)
    kept = reference("classification", 2)
    process = train(run, pictures, setting)
    wait_for((run / "checkpoints" / "last.ckpt").exists, process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out
    assert (status(run)["state"], status(run)["exit_code"]) == ("stopped", 128 + number)
    finish(resume(run, setting))
    assert compare(kept, run) == []


@pytest.mark.parametrize(
    ("ranks", "number", "reader"), [(1, signal.SIGINT, " 2>&1 | tee /dev/null"), (1, signal.SIGTERM, ""),
                                    (2, signal.SIGINT, " 2>&1 | tee /dev/null"), (2, signal.SIGTERM, "")],
)  # fmt: skip
def test_a_signal_to_everything_around_stops_in_order(tmp_path, pictures, ranks, number, reader):
    """As a terminal sends Ctrl-C to the reader and the loaders' workers too, and a batch system SIGTERM to the ranks."""
    run, phase, setting = tmp_path / "run", tmp_path / "phase", Setting(ranks, extra=("trainer.max_epochs=100000",))
    typed = ["train.py", f"hydra.run.dir={run}", f"data.root={pictures}", "data.num_workers=2", *setting.typed]
    process = subprocess.Popen(
        ["bash", "-c", f"{shlex.join([sys.executable, *typed])}{reader}; exit ${{PIPESTATUS[0]}}"], cwd=ROOT,
        env={**os.environ, "CHAOS_PHASE": str(phase), "PYTHONPATH": str(SITE)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: run.joinpath("history.csv").exists() and phase_of(phase) == "step", process)
    for pid in [process.pid, *below(process.pid)][1:]:
        if number == signal.SIGTERM or os.getpgid(pid) == process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    assert process.wait(60) == 128 + number
    assert (status(run)["state"], status(run)["exit_code"]) == ("stopped", 128 + number)


@pytest.mark.parametrize("held", [False, True], ids=["all compute", "one is held"])
def test_a_second_signal_ends_at_once_without_a_broken_file(endless, held):
    """Where all compute, the second one may come at any moment from the saving of the state to the end of the process."""
    run, process = endless
    if held:  # no rank can end its step
        os.kill(rank_pids(run)[1], signal.SIGSTOP)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert status(run)["state"] == "stopped"
    assert "Traceback" not in out.split("SIGINT")[0]
    again = call("evaluate.py", f"run={run}", "checkpoint=last")
    assert again.returncode == 0, again.stderr


def test_a_rank_that_dies_ends_the_others_with_its_name(endless):
    run, process = endless
    pids = rank_pids(run)
    assert sorted(pids) == [0, 1]
    os.kill(pids[1], signal.SIGKILL)
    began = time.monotonic()
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert process.returncode == 1, out
    assert not alive(pids[0])
    facts = status(run)
    assert (facts["state"], facts["exit_code"]) == ("failed", 1)
    assert f"Rank 1 of 2 (process {pids[1]}) was ended by SIGKILL" in facts["error"]
    assert f"Rank 1 of 2 (process {pids[1]}) was ended by SIGKILL" in out


def test_a_rank_that_is_stopped_ends_the_others_with_its_name(endless):
    run, process = endless
    pids = rank_pids(run)
    os.kill(pids[1], signal.SIGSTOP)
    out, _ = process.communicate(timeout=240)  # torch itself waits for half an hour
    assert process.returncode == 1, out
    assert not any(map(alive, pids.values()))  # SIGTERM would not have ended a stopped one
    lost = f"Rank 1 of 2 ({socket.gethostname()}) has given no sign of life for "
    assert status(run)["state"] == "failed"
    assert status(run)["error"].startswith(f"RankError: {lost}")
    assert status(run)["error"].endswith(f"python train.py resume={run}")
    assert out.count(lost) == 1


HUNG = """
import time
from lightning.pytorch.callbacks import Callback

class Hung(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 3:
            time.sleep(10_000)
"""


def test_a_rank_that_hangs_while_the_others_wait_in_an_exchange_is_named_with_its_place(tmp_path, pictures):
    """Its process lives, and its thread gives signs of life; torch itself would wait for two hours."""
    (tmp_path / "hung.py").write_text(HUNG)
    run = tmp_path / "run"
    typed = (
        f"hydra.run.dir={run}",
        f"data.root={pictures}",
        "data.num_workers=0",
        *Setting(2).typed,
        "trainer.timeout=10",
    )
    answer = call("train.py", *typed, "+callbacks.hung._target_=hung.Hung", "allow=[hung]", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1, answer.stderr
    place = f"Rank 1 of 2 ({socket.gethostname()}), in on_train_batch_start ("
    assert answer.stderr.count(place) == 1
    assert "hung.py:8), has computed nothing for" in answer.stderr
    assert "while the others wait for it in an exchange" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert status(run)["error"].startswith(f"RankError: {place}")
    assert not [pid for pid in rank_pids(run).values() if alive(pid)]


def test_ranks_do_not_outlive_their_command_and_hold_the_folder_until_then(endless):
    run, process = endless
    pids = rank_pids(run)
    busy = call("train.py", f"resume={run}")
    assert busy.returncode == 2
    assert "a process is at work in this folder" in busy.stderr
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 10
    while any(alive(pid) for pid in pids.values()):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_sweep_over_two_ranks_gives_a_folder_for_each_job(tmp_path, pictures):
    typed = [
        "-m",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
        f"data.root={pictures}",
        *Setting(2).typed,
        "trainer.max_epochs=1",
        "seed=0,1",
    ]
    answer = call("train.py", *typed)
    assert answer.returncode == 0, answer.stderr
    jobs = sorted((tmp_path / "sweep").glob("[0-9]*"))
    assert [job.name for job in jobs] == ["0", "1"]
    assert [status(job)["state"] for job in jobs] == ["finished", "finished"]
    assert "seed=1" in (jobs[1] / "overrides.txt").read_text().splitlines()


def test_a_run_of_two_ranks_predicts_on_one_device(tmp_path, pictures):
    run = tmp_path / "run"
    finish(train(run, pictures, Setting(2, extra=("trainer.max_epochs=1",))))
    answer = call("predict.py", f"run={run}", f"source={pictures}", f"hydra.run.dir={tmp_path / 'out'}")
    assert answer.returncode == 0, answer.stderr
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 1 + 42


def test_a_bad_loss_is_reported_by_the_command(tmp_path, pictures):
    run = tmp_path / "run"
    answer = call(
        "train.py",
        f"hydra.run.dir={run}",
        f"data.root={pictures}",
        *Setting(2).typed,
        "optimizer=sgd",
        "optimizer.lr=1e30",
    )
    assert answer.returncode == 1
    assert "The loss was" in status(run)["error"]
    assert "at step" in answer.stderr


def test_several_nodes_need_a_launcher(tmp_path, pictures):
    answer = call(
        "train.py",
        f"hydra.run.dir={tmp_path / 'run'}",
        f"data.root={pictures}",
        *Setting(2).typed,
        "trainer.num_nodes=2",
    )
    assert answer.returncode == 2
    assert "torchrun --nnodes=2 --nproc-per-node=2" in answer.stderr


def test_a_batch_that_does_not_divide_names_the_nearest(tmp_path, pictures):
    answer = call("train.py", f"hydra.run.dir={tmp_path / 'run'}", f"data.root={pictures}", *Setting(3).typed)
    assert answer.returncode == 2
    assert (
        "data.batch_size=8 must divide by devices × accumulation = 3 × 1; the nearest that does: 6 and 9"
        in answer.stderr
    )
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_the_first_ranks_and_both_end_with_its_message(tmp_path, pictures):
    """No file may have more than 500 kB, which a checkpoint has: the fourth epoch is one too many, and no rank waits."""
    run = tmp_path / "run"
    typed = [sys.executable, "train.py", f"hydra.run.dir={run}", f"data.root={pictures}", "data.num_workers=0",
             *Setting(2, extra=("checkpointing.every_n_steps=null", "trainer.max_epochs=9")).typed]  # fmt: skip
    limited = ["bash", "-c", 'ulimit -f 500; exec "$@"', "bash", *typed]
    answer = subprocess.run(
        limited, check=False, cwd=ROOT, timeout=240, capture_output=True, text=True,
        env={**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip
    message = (
        f"{run}/checkpoints/best.ckpt cannot be written: File too large, 4 times in a row. Make room and go on, there is no "
        f"checkpoint yet: python train.py resume={run}"
    )
    assert (answer.returncode, answer.stderr.splitlines()[-1]) == (1, message), answer.stderr
    assert answer.stderr.count("warning: ") == 3
    assert (status(run)["state"], status(run)["exit_code"], status(run)["error"]) == (
        "failed",
        1,
        f"TrainingError: {message}",
    )
    assert [row.split(",")[0] for row in (run / "history.csv").read_text().splitlines()[1:]] == ["0", "1", "2", "3"]
