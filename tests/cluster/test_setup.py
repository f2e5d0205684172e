"""A second installation: what `make wheelhouse` gathers, the Dockerfile's steps with it in an empty folder, and a training; without a network.

It takes about 5 minutes on two cores and 9 GB of disk for as long.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OFFLINE = ("unshare", "--net")
NEEDED_GB = 12


@pytest.fixture(scope="module")
def place():
    """An empty folder outside of pytest's own, which would keep it."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*OFFLINE, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs root, and unshare, to switch the network off")
    with tempfile.TemporaryDirectory(prefix="idd-setup-") as folder:
        if shutil.disk_usage(folder).free < NEEDED_GB * 1e9:
            pytest.skip(f"needs {NEEDED_GB} GB of disk")
        yield Path(folder)


def environment(**variables: str) -> dict[str, str]:
    """That of a user who has set nothing up."""
    ours = ("WANDB", "TORCH", "WHEELS", "PYTHON", "VIRTUAL_ENV", "OMP", "NO_ALB", "MAKE", "MFLAGS")
    known = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = [each for each in known["PATH"].split(os.pathsep) if Path(each) != Path(sys.executable).parent]
    return {**known, "PYTHON": str(Path(sys.base_prefix, "bin", "python3")), "PATH": os.pathsep.join(path), **variables}


def copy_project(target: Path) -> None:
    """What a clone has."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"]


def build(root: Path, env: dict[str, str]) -> tuple[list[str], Path, dict[str, str]]:
    """Carry out the Dockerfile's steps below a folder instead of in a container, without a network: (entry point, working directory, environment)."""
    entry: list[str] = []
    folder = root
    for name, rest in instructions():
        if name == "WORKDIR":
            folder = root / rest.lstrip("/")
            folder.mkdir(parents=True)
        elif name == "COPY":
            assert rest == ". ."
            copy_project(folder)
        elif name == "ARG":
            key, _, value = rest.partition("=")
            env = {key: value, **env}
        elif name == "ENV":
            key, _, value = rest.partition("=")
            env = {
                **env,
                key: value.replace("$PATH", env["PATH"]).replace("/idd-lightning", str(root / "idd-lightning")),
            }
        elif name == "RUN" and rest.startswith("apt-get"):
            wanted = re.search(r"--no-install-recommends ([\w -]+?) &&", rest)
            assert wanted is not None
            assert all(shutil.which(each) for each in wanted[1].split())  # there already
        elif name == "RUN":
            done = subprocess.run(
                [*OFFLINE, "sh", "-c", rest],
                cwd=folder,
                env=env,
                capture_output=True,
                encoding="utf-8",
                check=False,
                timeout=1800,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        elif name == "ENTRYPOINT":
            entry = json.loads(rest)
        else:
            assert name in ("FROM", "CMD"), f"{name}: carry this out here too"
    return entry, folder, env


@pytest.mark.cluster
@pytest.mark.slow
def test_the_dockerfile_sets_up_and_trains_without_a_network(place):
    (place / "clone").mkdir()
    copy_project(place / "clone")
    wheels = place / "the wheels"
    command = f"make wheelhouse WHEELS={shlex.quote(str(wheels))}"
    made = subprocess.run(
        ["sh", "-c", command],
        cwd=place / "clone",
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=1800,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Set up from it, without a network: make setup" in made.stdout

    entry, folder, env = build(place / "image", environment(WHEELS=str(wheels)))
    shutil.rmtree(wheels)
    assert (folder / ".venv/complete").read_text() == "pinned\n"
    versions = subprocess.run([*OFFLINE, *entry, "-m", "pip", "list", "--format=freeze"], cwd=folder, env=env, capture_output=True, encoding="utf-8", check=True).stdout  # fmt: skip
    pinned = {
        line.split(" ")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    assert pinned <= {line.lower().replace("_", "-") for line in versions.splitlines()}

    typed = ("train.py", "trainer.max_epochs=1", "trainer.limit_batches=3")
    done = subprocess.run(
        [*OFFLINE, *entry, *typed], cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert Path(lines[-1]).is_relative_to(folder / "runs")
    assert json.loads((Path(lines[-1]) / "evaluation/test/scores.json").read_text())["accuracy"] is not None
    assert lines[-2].startswith("test: accuracy")
    assert any(line.startswith("wandb: recorded offline; to send it: wandb sync") for line in lines)
