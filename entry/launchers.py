"""How torchrun or srun has started this process: the variables of a rank, and what about them does not fit the request."""

import os
import re
import socket
import subprocess

from entry.errors import RequestError
from entry.request import launched, world_size

STRAY = "If no launcher started this command, the variables were left in the environment: type env -u RANK -u WORLD_SIZE before it."
FIRST_PORT, PORTS = 15_000, 10_000  # of the ranks' store under srun, below those that systems give away by themselves
STEP = "IDD_STEP"  # job, step and restart of srun, whose tasks are the ranks
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def adopt_srun() -> None:
    """In one of several tasks of srun, set the variables of a rank as torchrun does; what is set already stays."""
    found = os.environ
    if "RANK" in found or not {"SLURM_PROCID", "SLURM_STEP_ID"} <= found.keys() or found["SLURM_STEP_NUM_TASKS"] == "1":
        return
    step, tasks = int(found["SLURM_STEP_ID"]), _tasks_per_node(found["SLURM_STEP_TASKS_PER_NODE"])
    found["RANK"], found["WORLD_SIZE"] = found["SLURM_PROCID"], found["SLURM_STEP_NUM_TASKS"]
    found["LOCAL_RANK"], found["GROUP_RANK"] = found["SLURM_LOCALID"], found["SLURM_NODEID"]
    found["LOCAL_WORLD_SIZE"] = str(tasks[int(found["SLURM_NODEID"])])
    found[STEP] = f"{found['SLURM_JOB_ID']}.{step}.{found.get('SLURM_RESTART_COUNT', '0')}"
    found.setdefault("MASTER_ADDR", _address(found["SLURM_STEP_NODELIST"]))
    found.setdefault("MASTER_PORT", str(FIRST_PORT + (31 * int(found["SLURM_JOB_ID"]) + step) % PORTS))


def step_name() -> str | None:
    """What sets a step of srun apart from all others of the cluster, requeued ones too; None under another launcher."""
    return os.environ.get(STEP)


def _tasks_per_node(text: str) -> list[int]:
    """The tasks on each node, of a text such as ``4(x2),3``."""
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(tasks) for tasks, times in parts for _ in range(int(times or 1))]


def _address(nodes: str) -> str:
    """The address of the first of some nodes, such as ``rack[1-2]node[03-04,7],login``."""
    name = re.sub(r"\[(\d+)[^]]*\]", r"\1", nodes).split(",")[0]
    try:
        socket.getaddrinfo(name, None)
    except OSError:  # no name of the network: the controller has the address by which it reaches the node itself
        command = ["scontrol", "show", "node", name, "--oneliner"]
        try:
            answer = subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout  # noqa: S603
        except FileNotFoundError:  # as in a container
            return name
        address = re.search(r"NodeAddr=(\S+)", answer)
        return address[1] if address else name
    return name


def variables_error() -> str | None:
    """Why the variables of a rank make no sense; None where they do."""
    found = {name: os.environ.get(name, "") for name in _VARIABLES}
    given = " ".join(f"{name}={value}" for name, value in found.items() if value)
    if missing := [name for name, value in found.items() if not value]:
        return (
            f"{given}: several processes need RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them; "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing. {STRAY}"
        )
    numbers = [found[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")]
    if not all(value.isdecimal() for value in numbers) or int(found["RANK"]) >= int(found["WORLD_SIZE"]):
        return f"{given}: RANK must be a whole number below WORLD_SIZE, and MASTER_PORT one as well. {STRAY}"
    return None


def check_world(devices: int, nodes: int) -> None:
    """Raise RequestError where the processes that were started are not `devices` on each of so many `nodes`."""
    wanted = f"trainer.num_nodes × trainer.devices is {nodes} × {devices} = {nodes * devices}"
    batch = f"#SBATCH --nodes={nodes} --ntasks-per-node={devices}"
    found = os.environ
    if step_name() and launched():
        tasks = _tasks_per_node(found["SLURM_STEP_TASKS_PER_NODE"])
        if tasks != [devices] * nodes:
            raise RequestError(
                f"srun started {sum(tasks)} tasks on {len(tasks)} node{'s' if len(tasks) > 1 else ''} ({', '.join(map(str, tasks))}), "
                f"but {wanted}. Make them equal: {batch}, or trainer.num_nodes={len(tasks)} trainer.devices={max(tasks)}."
            )
    elif launched() and world_size() != devices * nodes:
        raise RequestError(
            f"The launcher started {world_size()} processes, but {wanted}. Make the two numbers equal. {STRAY}"
        )
    elif nodes > 1 and not launched():
        ways = f"torchrun --nnodes={nodes} --nproc-per-node={devices} --node-rank=N --master-addr=HOST --master-port=29500 train.py …"
        ways = f"srun python train.py …, with {batch}" if "SLURM_JOB_ID" in found else ways
        raise RequestError(f"trainer.num_nodes={nodes}: start one process per device, on each node: {ways}")
    elif _batch_tasks() > devices * nodes and not launched():
        raise RequestError(
            f"This SLURM job has {_batch_tasks()} tasks on {found['SLURM_JOB_NUM_NODES']} nodes, but {wanted}: the others would idle. "
            f"Start it with srun, or ask for what it uses: {batch}."
        )


def _batch_tasks() -> int:
    """The tasks of the SLURM job whose batch script has started this process itself, without srun; 1 elsewhere."""
    found = os.environ
    in_script = "SLURM_PROCID" in found and "SLURM_STEP_ID" not in found
    return max(int(found.get("SLURM_NTASKS", 1)), int(found.get("SLURM_JOB_NUM_NODES", 1))) if in_script else 1
