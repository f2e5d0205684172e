"""torchrun on two machines, which are network namespaces of this host: trained, one of them lost, resumed; and what is missing there."""

import contextlib
import csv
import json
import subprocess
import sys
import time

import pytest

from tests.chaos.harness import ROOT, Setting, compare, finish, train
from tests.cluster.namespaces import missing, two_machines
from tests.conftest import make_image_folder

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(missing() is not None, reason=str(missing()))]
PATIENCE = 300  # seconds in which what is not about time must end
TIMEOUT = 10
PORT = 29400
SETTING = Setting(2, extra=("trainer.max_epochs=12",))
QUICK = ("trainer.max_epochs=1", "trainer.limit_batches=1")
RENDEZVOUS = {
    "static": lambda number, address: [f"--node-rank={number}", f"--master-addr={address}", f"--master-port={PORT}"],
    "c10d": lambda _, address: ["--rdzv-backend=c10d", f"--rdzv-endpoint={address}:{PORT}", "--rdzv-id=test"],
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """29 for training, 4 and 9: no step or batch leaves a rank a single one."""
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny", per_class=14)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, pictures):
    """The run of two processes on one machine."""
    run = tmp_path_factory.mktemp("reference") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        finish(train(run, pictures, SETTING))
    return run


@contextlib.contextmanager
def started(machines, folder, *typed, backend="static", others=None, **environment):
    """torchrun with train.py on both machines, as long as the context lasts: their processes and the files of their output."""
    logs = [folder / f"{machine.name}.log" for machine in machines]
    for log in logs:
        log.unlink(missing_ok=True)
    processes = [
        machine.start(
            sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
            *RENDEZVOUS[backend](number, machines[0].address), "train.py", *typed,
            cwd=ROOT, log=log, **(environment | {"OMP_NUM_THREADS": "1"} | (others or {} if number else {})),
        )
        for number, (machine, log) in enumerate(zip(machines, logs, strict=True))
    ]  # fmt: skip
    try:
        yield processes, logs
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ends(machines, folder, *typed, **options):
    """The exit codes and outputs of a command on both machines."""
    with started(machines, folder, *typed, **options) as (processes, logs):
        codes = [process.wait(PATIENCE) for process in processes]
    return codes, [log.read_text() for log in logs]


def training(run, pictures, *more):
    typed = ["trainer.devices=1", "trainer.num_nodes=2", f"trainer.timeout={TIMEOUT}", "data.num_workers=0", *more]
    return [f"hydra.run.dir={run}", f"data.root={pictures}", *SETTING.typed, *typed]


def history(run):
    with contextlib.suppress(FileNotFoundError), (run / "history.csv").open() as file:
        return list(csv.DictReader(file))
    return []


@pytest.mark.parametrize("backend", RENDEZVOUS)
def test_two_machines_train_what_two_processes_of_one_do_bit_by_bit(tmp_path, pictures, undisturbed, backend):
    run = tmp_path / "run"
    with two_machines(tmp_path) as machines:
        codes, outs = ends(machines, tmp_path, *training(run, pictures), backend=backend)
    assert codes == [0, 0], outs
    assert compare(undisturbed, run) == []
    scores = json.loads((run / "evaluation/test/scores.json").read_text())
    assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (9, 9, 9)
    facts = json.loads((run / "environment.json").read_text())
    assert (facts["devices"], facts["nodes"]) == (1, 2)
    assert json.loads((run / "status.json").read_text())["host"] == "node1"


def cut_off(machines, folder, run, pictures, backend="static"):
    """Train, and lose the second machine after the first epoch; the exit codes, those of a rank that ended itself, and the outputs."""
    with started(machines, folder, *training(run, pictures), backend=backend) as (processes, logs):
        until = time.monotonic() + PATIENCE
        while not history(run) and time.monotonic() < until and processes[0].poll() is None:
            time.sleep(0.02)
        machines[1].cable("down")
        codes = [processes[0].wait(PATIENCE)]
        if backend == "static":
            codes.append(processes[1].wait(PATIENCE))
        else:  # its torchrun waits for the store; its rank must not
            while machines[1].processes() != [processes[1].pid] and time.monotonic() < until + PATIENCE:
                time.sleep(0.2)
            codes += [1] * (machines[1].processes() == [processes[1].pid])
    return codes, [log.read_text() for log in logs]


@pytest.mark.parametrize("backend", RENDEZVOUS)
def test_a_machine_that_is_cut_off_ends_both_and_the_run_goes_on_bit_by_bit(tmp_path, pictures, undisturbed, backend):
    run = tmp_path / "run"
    with two_machines(tmp_path) as machines:
        codes, outs = cut_off(machines, tmp_path, run, pictures, backend)
        assert len(history(run)) < 12, outs
        assert codes == [1, 1], outs
        facts = json.loads((run / "status.json").read_text())
        assert (facts["state"], facts["exit_code"], facts["host"]) == ("failed", 1, "node1")
        silent = "Rank 1 of 2 (node2) has given no sign of life for "
        assert facts["error"].startswith(f"RankError: {silent}")
        assert f"(trainer.timeout={TIMEOUT})" in facts["error"]
        assert facts["error"].endswith(f"with train.py resume={run}")
        assert f"rank 0: {silent}" in outs[0]
        assert "rank 1: Rank 0 of 2 (node1), where the ranks' store is (" in outs[1]
        if backend == "static":
            machines[1].cable("up")
            codes, outs = ends(machines, tmp_path, f"resume={run}")
            assert codes == [0, 0], outs
            assert compare(undisturbed, run) == []


def test_a_run_folder_or_data_that_another_machine_lacks_are_named_with_its_host(tmp_path, pictures):
    runs = tmp_path / "runs"
    runs.mkdir()
    with two_machines(tmp_path) as machines:
        codes, outs = ends(machines, tmp_path, *training(runs / "run", pictures, *QUICK), others={"own_disk": runs})
        assert codes == [1, 1]
        reason = f"{runs / 'run'} on node2 is not the folder that node1 has under this name. All machines need the same run folder"
        assert f"Rank 1 of 2 (node2) failed: {reason}" in outs[0]
        assert reason in outs[1]
        codes, outs = ends(
            machines, tmp_path, *training(tmp_path / "run", pictures, *QUICK), others={"own_disk": pictures}
        )
        assert codes == [1, 1]
        assert "Rank 1 of 2 (node2) failed: " in outs[0]
        assert str(pictures) in outs[0]
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"


def test_host_names_that_lead_to_a_loopback_address_need_an_interface(tmp_path, pictures):
    """As Debian's installer writes /etc/hosts."""
    with two_machines(tmp_path, resolving=False) as machines:
        codes, outs = ends(machines, tmp_path, *training(tmp_path / "run", pictures, *QUICK))
        assert codes == [1, 1]
        assert "The ranks have met at" in outs[0] + outs[1]
        assert any(f"(here {machine.name}: 127.0.1.1)" in outs[0] + outs[1] for machine in machines)
        assert "GLOO_SOCKET_IFNAME=eth0" in outs[0] + outs[1]
        codes, outs = ends(
            machines, tmp_path, *training(tmp_path / "again", pictures, *QUICK), GLOO_SOCKET_IFNAME=machines[0].interface,
            others={"GLOO_SOCKET_IFNAME": machines[1].interface},
        )  # fmt: skip
        assert codes == [0, 0], outs


def test_the_helper_leaves_no_namespace(tmp_path):
    with two_machines(tmp_path) as (one, other):
        assert one.processes() == []
        sleeping = one.start("sleep", "1000", cwd=tmp_path, log=tmp_path / "log")
    assert sleeping.wait(PATIENCE) != 0
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert one.namespace not in listed
    assert other.namespace not in listed
