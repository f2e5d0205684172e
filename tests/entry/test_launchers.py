"""How srun's variables become those of a rank, and which numbers of processes do not fit."""

import re
import subprocess

import pytest

from entry import launchers
from entry.errors import RequestError
from entry.request import launched

# What srun gave the third of three tasks on two nodes of SLURM 22.05, less what is not read.
STEP = {
    "SLURM_JOB_ID": "41", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1",
}  # fmt: skip
RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def environment(monkeypatch):
    """The variables of a process, in place of those of the tests' own."""

    def give(**variables):
        found = dict(variables)
        monkeypatch.setattr(launchers.os, "environ", found)
        monkeypatch.setattr("entry.request.os.environ", found)
        return found

    return give


def test_a_task_of_srun_becomes_a_rank(environment, monkeypatch):
    found = environment(**STEP, MASTER_ADDR="10.0.0.1")
    launchers.adopt_srun()
    port = str(15_000 + (31 * 41) % 10_000)
    assert [found[name] for name in RANK] == ["2", "3", "0", "1", "1", "10.0.0.1", port]
    assert launchers.step_name() == "41.0.0"


def test_steps_and_requeued_jobs_have_names_of_their_own(environment):
    names = set()
    for job, step, restarts in (("41", "0", "0"), ("41", "1", "0"), ("41", "0", "1"), ("42", "0", "0")):
        environment(
            **STEP | {"SLURM_JOB_ID": job, "SLURM_STEP_ID": step, "SLURM_RESTART_COUNT": restarts}, MASTER_ADDR="a"
        )
        launchers.adopt_srun()
        names.add(launchers.step_name())
    assert len(names) == 4


@pytest.mark.parametrize(
    "variables",
    [
        STEP | {"RANK": "1", "WORLD_SIZE": "2"},  # torchrun in a task of srun
        STEP | {"SLURM_STEP_NUM_TASKS": "1"},
        {name: value for name, value in STEP.items() if name != "SLURM_STEP_ID"},  # the batch script itself
    ],
)
def test_other_processes_stay_as_they_are(environment, variables):
    found = environment(**variables)
    launchers.adopt_srun()
    assert found == variables
    assert launchers.step_name() is None


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("localhost", "localhost"),
        ("n[1-2]", "n1"),
        ("rack[03-04,7]x,login", "rack03x"),
        ("a-1,b[2,4]", "a-1"),
        ("r[1-2]n[5-6]", "r1n5"),
    ],
)
def test_the_address_is_that_of_the_first_node(environment, monkeypatch, nodes, first):
    found = environment(**STEP | {"SLURM_STEP_NODELIST": nodes})
    monkeypatch.setattr(launchers.socket, "getaddrinfo", lambda *_: [])
    launchers.adopt_srun()
    assert found["MASTER_ADDR"] == first


def test_a_node_without_a_name_in_the_network_has_the_address_that_its_controller_uses(environment, monkeypatch):
    found = environment(**STEP)

    def unknown(*_):
        raise OSError

    monkeypatch.setattr(launchers.socket, "getaddrinfo", unknown)
    answer = subprocess.CompletedProcess([], 0, "NodeName=n1 Arch=x86_64 NodeAddr=10.1.2.3 NodeHostName=n1")
    monkeypatch.setattr(launchers.subprocess, "run", lambda *_, **__: answer)
    launchers.adopt_srun()
    assert found["MASTER_ADDR"] == "10.1.2.3"


def test_where_the_controller_cannot_be_asked_the_node_keeps_its_name(environment, monkeypatch):
    """As in a container without SLURM's programs."""
    found = environment(**STEP)

    def missing(*_, **__):
        raise FileNotFoundError("scontrol")

    monkeypatch.setattr(launchers.socket, "getaddrinfo", lambda *_: missing())
    monkeypatch.setattr(launchers.subprocess, "run", missing)
    launchers.adopt_srun()
    assert found["MASTER_ADDR"] == "n1"


@pytest.mark.parametrize(
    ("tasks", "devices", "nodes", "message"),
    [
        ("2,1", 1, 2, r"srun started 3 tasks on 2 nodes \(2, 1\), but .* is 2 × 1 = 2"),
        ("3", 3, 2, r"srun started 3 tasks on 1 node \(3\), but .* is 2 × 3 = 6. .*--nodes=2 --ntasks-per-node=3"),
        (
            "1(x3)",
            3,
            1,
            r"srun started 3 tasks on 3 nodes \(1, 1, 1\), but .* is 1 × 3 = 3",
        ),  # the same number, elsewhere
        ("1(x3)", 1, 3, None),
        ("3", 3, 1, None),
    ],
)
def test_tasks_are_held_against_nodes_and_devices(environment, tasks, devices, nodes, message):
    environment(**STEP | {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_NODEID": "0"}, MASTER_ADDR="a")
    launchers.adopt_srun()
    if message is None:
        launchers.check_world(devices, nodes)
        return
    with pytest.raises(RequestError, match=message):
        launchers.check_world(devices, nodes)


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "4"}, 2, 1, "The launcher started 4 processes, but .* is 1 × 2 = 2"),
        ({}, 2, 2, r"start one process per device, on each node: torchrun --nnodes=2 --nproc-per-node=2"),
        ({"SLURM_JOB_ID": "1"}, 2, 2, r"srun python train.py …, with #SBATCH --nodes=2 --ntasks-per-node=2"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NUM_NODES": "2"}, 4, 1, "has 8 tasks on 2 nodes, but .* is 1 × 4 = 4: the others would idle"),
        ({"SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "2"}, 1, 1, "has 2 tasks on 2 nodes"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "1"}, 4, 1, None),  # one process that starts four
        ({"SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NUM_NODES": "2"}, 1, 1, None),  # a step of one task
        ({"SLURM_NTASKS": "8", "SLURM_JOB_NUM_NODES": "2"}, 1, 1, None),  # an interactive shell of salloc
    ],
)  # fmt: skip
def test_processes_are_held_against_nodes_and_devices(environment, variables, devices, nodes, message):
    environment(**variables)
    if message is None:
        launchers.check_world(devices, nodes)
        return
    with pytest.raises(RequestError, match=message):
        launchers.check_world(devices, nodes)


LAUNCH = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29400"}


@pytest.fixture
def launch_variables(monkeypatch):
    """Set some variables of a launcher, and no others."""

    def of(**values):
        for name in LAUNCH:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return of


@pytest.mark.parametrize(
    "values",
    [{}, LAUNCH, {"RANK": "1"}, {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "many"}, {"LOCAL_RANK": "3"}, {"RANK": "0", "WORLD_SIZE": "1"},
     {"RANK": "0", "WORLD_SIZE": ""}, {"MASTER_ADDR": "nowhere"}, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}],
)  # fmt: skip
def test_a_whole_set_of_a_launchers_variables_is_fine_and_so_is_one_that_means_a_single_process(
    launch_variables, values
):
    launch_variables(**values)
    assert not launched() or launchers.variables_error() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MASTER_ADDR": "", "MASTER_PORT": ""}, "RANK=0 WORLD_SIZE=2: several processes need .* MASTER_ADDR and MASTER_PORT are missing"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is missing"),
        ({"RANK": "2"}, "RANK=2 WORLD_SIZE=2 .*RANK must be a whole number below WORLD_SIZE"),
        ({"RANK": "-1"}, "RANK must be a whole number"),
        ({"WORLD_SIZE": "two"}, "RANK must be a whole number below WORLD_SIZE"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT one as well"),
    ],
)  # fmt: skip
def test_strays_of_a_launcher_are_a_sentence_with_the_line_to_type(launch_variables, changes, message):
    launch_variables(**{name: value for name, value in (LAUNCH | changes).items() if value})
    assert re.search(message, launchers.variables_error())
    assert "type env -u RANK -u WORLD_SIZE before it" in launchers.variables_error()
