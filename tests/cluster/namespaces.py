"""Two machines on this host: network namespaces with addresses, host names and loopback of their own, joined by a cable."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NET = "10.77.14"
NAMES = ("node1", "node2")


def missing() -> str | None:
    """Why there can be no namespaces here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [tool for tool in ("ip", "unshare", "mount") if shutil.which(tool) is None]:
        return f"{', '.join(absent)} is missing (Debian: iproute2, util-linux)"
    name = f"try-{uuid.uuid4().hex[:8]}"
    answer = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return answer.stderr.strip() or None


@dataclass(frozen=True)
class Machine:
    """A network namespace; its processes have a host name of their own, and an /etc/hosts that resolves those of both."""

    name: str
    address: str
    namespace: str
    interface: str
    hosts: Path

    def start(
        self, *command: str, cwd: Path, log: Path, own_disk: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a command on this machine, which sees an empty disk of its own at `own_disk`, and else the files of this host."""
        disk = f"mount -t tmpfs none {shlex.quote(str(own_disk))} && " if own_disk else ""
        inside = f'{disk}mount --bind "$0" /etc/hosts && hostname "$1" && shift && exec "$@"'
        with log.open("ab") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "--mount",
                 "sh", "-c", inside, str(self.hosts), self.name, *command],
                cwd=cwd, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment},
            )  # fmt: skip

    def cable(self, state: str) -> None:
        """Set this machine's end of the cable ``up`` or ``down``: what is sent vanishes, without an end of any connection."""
        _ip("-n", self.namespace, "link", "set", self.interface, state)

    def processes(self) -> list[int]:
        """The processes that run on this machine."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]


@contextlib.contextmanager
def two_machines(folder: Path, *, resolving: bool = True) -> Iterator[tuple[Machine, Machine]]:
    """Two machines; their files (/etc/hosts) lie in `folder`. Whatever still runs on them at the end is killed.

    With `resolving` false, each host name is that of a loopback address on its machine, as Debian's installer sets it.
    """
    mark = uuid.uuid4().hex[:6]
    machines = [
        Machine(name, f"{NET}.{i}", f"idd-{mark}-{i}", f"v{mark}{i}", folder / f"hosts-{name}")
        for i, name in enumerate(NAMES, 1)
    ]
    one, other = machines
    for machine in machines:
        own = {m.name: "127.0.1.1" if m is machine and not resolving else m.address for m in machines}
        machine.hosts.write_text(
            "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in own.items())
        )
    try:
        for machine in machines:
            _ip("netns", "add", machine.namespace)
        _ip("link", "add", one.interface, "netns", one.namespace, "type", "veth",
            "peer", "name", other.interface, "netns", other.namespace)  # fmt: skip
        for machine in machines:
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
            _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", machine.interface)
            machine.cable("up")
        yield one, other
    finally:
        for machine in machines:
            with contextlib.suppress(subprocess.CalledProcessError):
                for pid in machine.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                _ip("netns", "del", machine.namespace)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
