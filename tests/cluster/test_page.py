"""docs/CLUSTER.md, typed as it is written."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from run_files import read_csv
from tests.cluster.conftest import PROJECT
from tests.cluster.test_slurm import status

pytestmark = pytest.mark.cluster


def commands(title: str) -> list[str]:
    """The lines of the block below a heading."""
    section = (PROJECT / "docs" / "CLUSTER.md").read_text(encoding="utf-8").split(f"## {title}\n")[1]
    return re.search(r"```\n(.*?)```", section, re.DOTALL)[1].splitlines()


def test_from_a_first_job_to_a_sweep_that_was_requeued(slurm, type_on, tmp_path):
    for name in ("train.py", "evaluate.py", "compare.py"):
        (tmp_path / name).symlink_to(PROJECT / name)
    slurm.environment["PATH"] = f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"

    def type_line(line: str) -> list[str]:
        return slurm.run("bash", "-c", line, cwd=tmp_path, timeout=600).stdout.splitlines()

    shown, submitted = commands("A first job, on CPUs")
    assert "#SBATCH --nodes=2" in type_line(shown)
    *_, first, folder = type_line(submitted)
    number = re.match(r"job: (\d+)", first)[1]

    sweep, requeue, follow, evaluate = commands("A sweep, requeued in the middle")
    folder_of_sweep = Path(re.search(r"sweep\.resume=(\S+)", "\n".join(type_line(sweep)))[1])
    job = json.loads((folder_of_sweep / "jobs" / "0.json").read_text())["slurm_job"]
    slurm.wait((folder_of_sweep / "0" / "history.csv").exists, "an epoch of the sweep's first job", 300)
    type_line(requeue.replace("JOB", job))
    slurm.start_now(job)
    type_line(follow.replace("SWEEP_FOLDER", shlex.quote(str(folder_of_sweep))))
    rows = read_csv(folder_of_sweep / "sweep.csv")
    assert [row["state"] for row in rows] == ["finished"] * 4
    assert status(folder_of_sweep / "0")["requeues"] == 1
    assert (folder_of_sweep / "sweep.html").exists()
    assert "f1_macro" in type_line(evaluate.replace("SWEEP_FOLDER", str(folder_of_sweep)))[-2]

    assert slurm.wait_for(number, "COMPLETED", "FAILED") == "COMPLETED"
    assert status(Path(folder))["state"] == "finished"
