"""Several processes, as they are typed: one folder, the same scores, and an end for all when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.harness import ROOT, Setting, compare, finish, resume, start, train
from tests.conftest import make_image_folder

pytestmark = pytest.mark.slow
SCORES = (
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "miou",
    "loss",
    "n_expected",
    "n_seen",
    "n_unique",
    "classes",
    "intervals",
)


def scores(run, split="test"):
    return json.loads((run / "evaluation" / split / "scores.json").read_text())


def status(run):
    return json.loads((run / "status.json").read_text())


def call(*typed, timeout=240, **environment):
    return subprocess.run(
        [sys.executable, *map(str, typed)], check=False, cwd=ROOT, timeout=timeout, capture_output=True, text=True,
        env={**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1", **environment},
    )  # fmt: skip


def wait_for(condition, process, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def rank_pids(run):
    return {int(path.stem): int(path.read_text()) for path in run.glob(".ranks-*.tmp/*.pid")}


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
def one(tmp_path_factory, pictures):
    """A run of one process; its test split has 9 samples."""
    run = tmp_path_factory.mktemp("one") / "run"
    finish(train(run, pictures, Setting(1)))
    return run


@pytest.fixture
def endless(tmp_path, pictures):
    """Two ranks that train until somebody stops them."""
    run = tmp_path / "run"
    process = train(run, pictures, Setting(2, extra=("trainer.max_epochs=100000",)))
    wait_for((run / "history.csv").exists, process)
    yield run, process
    for pid in [process.pid, *rank_pids(run).values()]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("eval_batch_size", [3, 1000])  # three batches, which no number of ranks divides; and one
def test_a_checkpoint_has_the_same_scores_on_any_number_of_ranks(one, ranks, eval_batch_size):
    typed = ["evaluate.py", f"run={one}", f"data.eval_batch_size={eval_batch_size}"]
    alone = call(*typed)
    assert alone.returncode == 0, alone.stderr
    expected = scores(one)
    several = call(
        *typed, "trainer=ddp_cpu", f"trainer.devices={ranks}", "trainer.threads=1", "trainer.precision=32-true"
    )
    assert several.returncode == 0, several.stderr
    found = scores(one)
    assert {key: found[key] for key in SCORES} == {key: expected[key] for key in SCORES}
    assert found["n_seen"] == found["n_unique"] == found["n_expected"] == 9
    assert several.stdout.splitlines()[-2:] == alone.stdout.splitlines()[-2:]
    assert sorted(path.name for path in (one / "evaluation").iterdir()) == ["test"]


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
def test_a_signal_stops_both_ranks_and_the_run_goes_on_as_if_it_had_not(tmp_path, pictures, number):
    reference, run = tmp_path / "reference", tmp_path / "run"
    setting = Setting(2)
    finish(train(reference, pictures, setting))
    process = train(run, pictures, setting)
    wait_for((run / "checkpoints" / "last.ckpt").exists, process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out
    assert (status(run)["state"], status(run)["exit_code"]) == ("stopped", 128 + number)
    finish(resume(run, setting))
    assert compare(reference, run) == []


def test_a_second_signal_ends_at_once_without_a_broken_file(endless):
    run, process = endless
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


def test_ranks_do_not_outlive_their_door_and_the_folder_is_theirs_until_then(endless):
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
    jobs = sorted((tmp_path / "sweep").iterdir())
    assert [job.name for job in jobs] == ["0", "1"]
    assert [status(job)["state"] for job in jobs] == ["finished", "finished"]
    assert "seed=1" in (jobs[1] / "overrides.txt").read_text().splitlines()


def test_a_run_of_two_ranks_predicts_on_one_device(tmp_path, pictures):
    run = tmp_path / "run"
    finish(train(run, pictures, Setting(2, extra=("trainer.max_epochs=1",))))
    answer = call("predict.py", f"run={run}", f"source={pictures}", f"hydra.run.dir={tmp_path / 'out'}")
    assert answer.returncode == 0, answer.stderr
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 1 + 42


def test_a_bad_loss_is_told_by_the_door(tmp_path, pictures):
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


def torchrun(node, nodes, port, *typed):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1", f"--node-rank={node}",
               "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", "train.py", *typed]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip


def free_port():
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def test_the_same_door_under_torchrun_on_two_nodes(tmp_path, pictures, monkeypatch):
    # What torch is told later is not quite the same as what OpenMP reads when it is loaded.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    own, outer = tmp_path / "own", tmp_path / "outer"
    finish(train(own, pictures, Setting(2)))
    typed = [
        f"hydra.run.dir={outer}",
        f"data.root={pictures}",
        "data.num_workers=0",
        *Setting(2).typed,
        "trainer.devices=1",
        "trainer.num_nodes=2",
    ]
    port = free_port()
    nodes = [torchrun(node, 2, port, *typed) for node in range(2)]
    outs = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outs
    assert compare(own, outer) == []
    assert status(outer)["state"] == "finished"


def test_a_wrong_number_of_tasks_is_refused_with_both_numbers_and_leaves_nothing(tmp_path, pictures):
    run, port = tmp_path / "run", free_port()
    typed = [f"hydra.run.dir={run}", f"data.root={pictures}", *Setting(2).typed, "trainer.devices=3"]
    nodes = [torchrun(node, 2, port, *typed) for node in range(2)]
    outs = [node.communicate(timeout=240)[0] for node in nodes]
    assert all(node.returncode for node in nodes)
    assert (
        sum(
            "The launcher started 2 processes, but trainer.devices × trainer.num_nodes is 3 × 1 = 3" in out
            for out in outs
        )
        == 1
    )
    assert not run.exists()


def test_what_hydra_refuses_ends_every_task(tmp_path):
    port = free_port()
    nodes = [torchrun(node, 2, port, "aug=flip_rotat", f"hydra.run.dir={tmp_path / 'run'}") for node in range(2)]
    outs = [node.communicate(timeout=120)[0] for node in nodes]
    assert all(node.returncode for node in nodes)
    assert sum("aug=flip_rotat: there is no such option" in out for out in outs) == 1


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


def test_ranks_that_do_not_come_are_named():
    program = "from entry import group\ntry:\n    group.meet(3)\nexcept group.RankError as error:\n    print(error)"
    answer = call(
        "-c", program, RANK="0", WORLD_SIZE="4", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port())
    )
    assert "After 3 s 3 of 4 ranks have not come" in answer.stdout, answer
    assert ": 1, 2, 3. There are 0 (" in answer.stdout
