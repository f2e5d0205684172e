"""A cluster for the tests, and how a user types commands on it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm as slurm_module
from tests.cluster.slurm import Slurm

PROJECT = Path(__file__).resolve().parents[2]
SMALL = ("data.fraction=0.2", "optimizer.lr=1e-3", "checkpointing.every_n_steps=1", "report.html=false")
TWO_NODES = ("trainer=ddp_cpu", "trainer.devices=1", "trainer.num_nodes=2")
SUBMITTED = ("hydra/launcher=slurm", "launcher.cpus_per_task=1", "launcher.time=30")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Two nodes."""
    if (reason := slurm_module.missing()) is not None:
        pytest.skip(reason)
    with slurm_module.two_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of data, made once: these tests are about other things."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def type_on(
    slurm: Slurm, tmp_path: Path, shared_cache: Path
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Type a command of the project in an empty working directory of the cluster's login node; no job outlives its test."""
    slurm.environment |= {"XDG_CACHE_HOME": str(shared_cache), "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1"}
    slurm.environment |= {"OMP_NUM_THREADS": "1"}
    for name in [name for name in os.environ if name.startswith(("RANK", "WORLD_SIZE", "PYTEST"))]:
        slurm.environment.pop(name, None)

    def call(name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return slurm.run(
            sys.executable, str(PROJECT / f"{name}.py"), *arguments, cwd=tmp_path, check=check, timeout=600
        )

    yield call
    slurm.run("scancel", "--user=root")
    slurm.wait(lambda: not slurm.run("squeue", "--noheader").stdout, "an empty queue")


def job_of(answer: subprocess.CompletedProcess[str]) -> tuple[str, Path]:
    """The job's number and the run folder that a submission prints."""
    *_, first, last = answer.stdout.strip().splitlines()
    return first.removeprefix("job: ").partition(",")[0], Path(last)
