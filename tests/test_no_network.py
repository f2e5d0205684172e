"""Training with defaults talks to nobody. Watched at the system calls of all processes: wandb has a binary of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r'sin_addr=inet_addr\("(?!127\.)[^"]+"\)|inet_pton\(AF_INET6, "(?!::1"|::ffff:127\.)[^"]+"')


def outside(log: str) -> list[str]:
    """The lines of a trace that name an address beyond this machine."""
    return [line for line in log.splitlines() if OUTSIDE.search(line)]


def test_the_filter_knows_inside_from_outside():
    assert outside('connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("93.184.216.34")}, 16)')
    assert outside('sendto(3, "", 0, 0, {sa_family=AF_INET6, inet_pton(AF_INET6, "2606:2800::1", &sin6_addr)}, 28)')
    assert not outside('connect(3, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16)')
    assert not outside('connect(3, {sa_family=AF_INET6, inet_pton(AF_INET6, "::1", &sin6_addr)}, 28)')
    assert not outside('connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110)')


def traced(tmp_path: Path, *command: str) -> str:
    """Run a command to its end and return the trace of its connections, its children's too."""
    log = tmp_path / "trace.txt"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "NO_ALBUMENTATIONS"))}
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log), *command],
        cwd=tmp_path, env={**env, "HOME": str(tmp_path)}, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    return log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_training_with_defaults_opens_no_connection_beyond_this_machine(tmp_path, image_folder):
    asking = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    assert outside(traced(tmp_path, sys.executable, "-c", asking))  # the watch would notice
    log = traced(
        tmp_path,
        sys.executable,
        str(ROOT / "train.py"),
        "data=image_folder",
        f"data.root={image_folder}",
        "trainer.max_epochs=1",
    )
    assert "connect(" in log  # wandb's own process was watched too
    assert outside(log) == []
