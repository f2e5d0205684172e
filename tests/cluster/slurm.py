"""A SLURM of two nodes on this host: Debian's daemons in a folder of their own, started and stopped by the tests."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=0
KillWait=15
MinJobAge=300
SchedulerParameters=sched_interval=5,bf_interval=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why no SLURM can be started here; None where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if absent:
        return f"{', '.join(absent)} not found: make test-cluster installs slurm-wlm and munge where it may"
    return None if os.geteuid() == 0 else "SLURM's daemons run as root here"


class Slurm:
    """The running cluster, with nodes ``n1`` and ``n2``; each has more CPUs than it needs, as both share this host's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.environment["PATH"] += ":/usr/sbin:/sbin"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        for name in ("state", "spool-n1", "spool-n2", "munge"):
            (self.folder / name).mkdir(mode=0o755)
        ports = _free_ports(3)
        text = CONFIGURATION.format(host=socket.gethostname(), folder=self.folder, ports=ports, cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(text, encoding="utf-8")
        munge = self.folder / "munge"
        self.run("mungekey", "--create", f"--keyfile={munge}/key")
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge}/{name}" for option, name in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        self.start_controller()
        for node in ("n1", "n2"):
            self._start(node, "slurmd", "-D", "-N", node)
        self.wait(lambda: self.nodes() == {"n1": "idle", "n2": "idle"}, "idle nodes")

    def start_controller(self) -> None:
        """Start the controller."""
        self._start("slurmctld", "slurmctld", "-D")
        self.wait(lambda: self.run("scontrol", "ping", check=False).returncode == 0, "the controller")

    def stop_controller(self) -> None:
        """End the controller; jobs go on."""
        process = self._daemons.pop("slurmctld")
        process.terminate()
        process.wait(timeout=60)

    def stop(self) -> None:
        """End all jobs and daemons."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("scancel", "--user=root", "--signal=KILL", "--full", check=False)
            self.run("scancel", "--user=root", check=False)
        for process in reversed(self._daemons.values()):
            process.terminate()
        for process in self._daemons.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, *command: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the cluster would."""
        settings = {"timeout": 120, **options}
        found = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, **settings)
        assert not check or found.returncode == 0, f"{command}: {found.stdout}{found.stderr}"
        return found

    def nodes(self) -> dict[str, str]:
        """The state of each node."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %t", check=False).stdout.splitlines()
        return dict(line.split() for line in lines)

    def job(self, number: str) -> dict[str, str]:
        """What the controller has of a job: JobState, Restarts, ExitCode, …; empty for one that it has forgotten."""
        text = self.run("scontrol", "show", "job", "--oneliner", number, check=False).stdout
        return dict(re.findall(r"(\w+)=(\S*)", text))

    def start_now(self, number: str) -> None:
        """Let a job that is being requeued start at once: it would wait for two minutes or more."""
        self.wait(lambda: self.job(number)["JobState"] == "PENDING", f"job {number} to be requeued")
        time.sleep(3)  # a node refuses a job that begins again in the second in which its credential was revoked
        self.run("scontrol", "update", f"JobId={number}", "StartTime=now")

    def wait_for(self, number: str, *states: str, seconds: float = 300) -> str:
        """Wait until a job has one of these states, and return it."""
        self.wait(lambda: self.job(number)["JobState"] in states, f"job {number} to be {states}", seconds)
        return self.job(number)["JobState"]

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"no {what} within {seconds} s; logs are in {self.folder}"
            time.sleep(0.5)

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)


@contextlib.contextmanager
def two_nodes() -> Iterator[Slurm]:
    """A cluster inside the block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
