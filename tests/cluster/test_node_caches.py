"""Two nodes of two ranks, each node with a disk of its own and no file locks: each copies and reads the dataset once."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import make_image_folder

ROOT = Path(__file__).resolve().parents[2]
# In every process: locks fail, as on network file systems without them, and each opening of an image is noted.
CUSTOMIZED = """
import errno, fcntl, os, sys

def fail(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = fcntl.lockf = fail
log = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and str(arguments[0]).endswith(".png"):
        os.write(log, f"{os.getpid()} {arguments[0]}\\n".encode())

sys.addaudithook(note)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_each_node_reads_the_dataset_once(tmp_path):
    root, site, job = make_image_folder(tmp_path / "data"), tmp_path / "site", tmp_path / "job"
    job.mkdir()
    site.mkdir()
    (site / "sitecustomize.py").write_text(CUSTOMIZED)
    typed = [
        "data=image_folder", f"data.root={root}", "data.stage=true", "data.cache=true", "data.cache_dir=${oc.env:SLURM_TMPDIR}/cache",
        "data.image_size=[16,16]", "data.batch_size=8", "data.num_workers=0", "trainer=ddp_cpu", "trainer.devices=2",
        "trainer.num_nodes=2", "trainer.max_epochs=1", "trainer.threads=1", "logger=csv", "report.html=false",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip
    port, nodes = free_port(), []
    for node in range(2):
        (tmp_path / f"disk{node}").mkdir()
        environment = {
            **os.environ, "PYTHONPATH": f"{site}:{ROOT}", "SLURM_TMPDIR": str(job), "OPENED": str(tmp_path / f"opened{node}"),
            "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        launch = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", f"--node-rank={node}",
            "--master-addr=127.0.0.1", f"--master-port={port}", str(ROOT / "train.py"), *typed,
        ]  # fmt: skip
        mounted = ["unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path}/disk{node} {job} && exec "$@"', "sh"]
        with (tmp_path / f"log{node}").open("w") as log:
            nodes.append(subprocess.Popen([*mounted, *launch], cwd=tmp_path, env=environment, stdout=log, stderr=log))
    codes = [node.wait(600) for node in nodes]
    logs = [(tmp_path / f"log{node}").read_text() for node in range(2)]
    assert codes == [0, 0], "\n".join(logs)
    for node, log in enumerate(logs):
        assert log.count("Copying 36 files") == 1
        lines = [line.split(" ", 1) for line in (tmp_path / f"opened{node}").read_text().splitlines()]
        originals = Counter(path for _, path in lines if Path(path).is_relative_to(root))
        assert originals == Counter(map(str, root.rglob("*.png")))
        copies = Counter(Path(path).name for _, path in lines if Path(path).is_relative_to(job))
        assert set(copies) == {path.name for path in root.rglob("*.png")}
        assert (
            max(copies.values()) == 3
        )  # compared after it was written, checked, and put into the cache: by one rank each
        cache = tmp_path / f"disk{node}" / "cache"
        assert not [*cache.rglob("*.tmp"), *cache.rglob("*.lease"), *cache.rglob("*.partial")]
        assert len([*(cache / "staged").iterdir()]) == 1
    scores = json.loads((tmp_path / "run/evaluation/test/scores.json").read_text())
    assert scores["n_seen"] == scores["n_unique"] == scores["n_expected"] > 0
