"""docs/notebooks/idd.ipynb: no output is committed, its commands exist, and it runs on the embedded data."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from nbclient import NotebookClient
from packaging.requirements import Requirement

from run_files import read_csv, read_json
from tests.docs.test_links import LINK, anchors
from tests.test_project import ROOT, canonicalize_name, pinned

NOTEBOOK = ROOT / "docs/notebooks/idd.ipynb"
CELLS = {cell.id: cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
QUICK = "trainer=cpu trainer.threads=1 trainer.max_epochs=2 trainer.limit_batches=2 data.num_workers=0 logger=csv report.train_eval=false checkpointing.every_n_steps=1"


def commands(**variables: str) -> list[str]:
    """Each line that is typed in a shell, with the values that its cells give to names."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        names: dict[str, object] = {}
        exec(CELLS["parameters"].source, names)  # noqa: S102
        exec(CELLS["train"].source.split("if ")[0], names)  # noqa: S102
        exec(CELLS["compare"].source.split("!")[0], names)  # noqa: S102
    lines = [line.strip() for cell in CELLS.values() if cell.cell_type == "code" for line in cell.source.splitlines()]
    return [eval(f"f{line[1:]!r}", names) for line in lines if line.startswith("!")]  # noqa: S307


def test_it_is_valid_and_holds_no_output() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 8
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert [cell.id for cell in notebook.cells if "attachments" in cell] == []


def test_its_links_lead_somewhere() -> None:
    found = [link for cell in CELLS.values() for link in LINK.findall(cell.source) if not link.startswith("http")]
    assert found
    for path, _, anchor in (link.partition("#") for link in found):
        assert anchor in anchors((NOTEBOOK.parent / path).resolve())


def test_every_command_in_it_composes(tmp_path: Path) -> None:
    found = commands(NOTEBOOK_KEEP=str(tmp_path), NOTEBOOK_DATA="data=idd data.root=DIR", NOTEBOOK_SETTINGS=QUICK)
    assert len(found) == 5
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for line in found:
            python, name, *overrides = shlex.split(line)
            assert (python, (ROOT / name).is_file()) == ("python", True)
            compose(
                config_name=name.removesuffix(".py"), overrides=[each for each in overrides if "hydra." not in each]
            )


@pytest.mark.slow
def test_it_continues_after_a_disconnect_and_compares_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first training is killed once it has a checkpoint, as when a runtime is taken away; then all cells are run."""
    keep = tmp_path / "keep"
    variables = {"NOTEBOOK_KEEP": str(keep), "NOTEBOOK_SETTINGS": QUICK}
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        variables[name] = str(tmp_path / name)
    variables |= {"NOTEBOOK_PROJECT": str(ROOT), "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    first = next(line for line in commands() if "train.py model=" in line)
    process = subprocess.Popen([sys.executable, *shlex.split(first)[1:]], cwd=ROOT, start_new_session=True)
    checkpoint = keep / "custom_cnn/checkpoints/last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert read_json(keep / "custom_cnn/status.json")["state"] == "running"

    shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for model, page in (("custom_cnn", "page"), ("resnet18", "second-page")):
        assert read_json(keep / model / "status.json")["state"] == "finished"
        assert len(read_csv(keep / model / "history.csv")) == 2
        [shown] = outputs[page]
        assert "&lt;base href=&quot;about:srcdoc&quot;&gt;" in shown["data"]["text/html"]
    assert read_json(keep / "custom_cnn/environment.json")["resumed"]
    assert {row["second"] for row in read_csv(keep / "compared/compare.csv")} == {"", "resnet18"}


ENDING = "whl"


def stand_in(folder: Path, name: str, version: str, *needs: str) -> None:
    """A package of this name that holds nothing."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.{ENDING}", "w") as archive:
        archive.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}"
        )
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without packages, which has pip."""
    place = tmp_path_factory.mktemp("bare") / "environment"
    venv.create(place, with_pip=True)
    return place


@pytest.fixture
def installed(tmp_path: Path, bare: Path) -> Callable[..., dict[str, str]]:
    """Run the cell that installs, where these packages are already; the versions afterwards.

    There are newer ones of torch and torchvision, and a newer lightning that needs the newer torch.
    """
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    pins = pinned()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in (canonicalize_name(Requirement(line).name) for line in project["dependencies"]):
        stand_in(shelf, name, pins[name], *([f"torch=={pins['torch']}"] if name == "torchvision" else []))
    stand_in(shelf, "lightning", "2.99.0", f"torch>={pins['torch']}")
    stand_in(shelf, "torchvision", "0.27.0", "torch==2.12.0")
    place = tmp_path / "environment"
    shutil.copytree(bare, place, symlinks=True)
    python = place / "bin/python"
    variables = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip

    def call(**packages: str) -> dict[str, str]:
        for name, version in packages.items():
            needs = [f"torch=={packages['torch']}"] if name == "torchvision" else []
            stand_in(shelf, name, version, *needs)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", f"{name}=={version}"], env=variables, check=True)  # fmt: skip
        subprocess.run([python, "-c", CELLS["install"].source], env=variables, cwd=ROOT, check=True)
        answer = subprocess.run([python, "-m", "pip", "list", "--format=json"], env=variables, capture_output=True, check=True)  # fmt: skip
        return {each["name"]: each["version"] for each in json.loads(answer.stdout)}

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        {"torch": "2.12.0", "torchvision": "0.27.0"},
        {"torch": "2.12.1+cu128", "torchvision": "0.27.1+cu128"},
        {"torch": "2.99.0", "torchvision": "0.99.0"},
        {"torch": "2.12.0"},  # and the torchvision that fits it is chosen
    ],
)
def test_a_torch_that_will_do_is_not_replaced(installed: Callable[..., dict[str, str]], before: dict[str, str]) -> None:
    after = installed(**before)
    assert {name: after[name] for name in before} == before
    assert after["hydra-core"] == pinned()["hydra-core"]


@pytest.mark.slow
@pytest.mark.parametrize("before", [{}, {"torch": "2.10.0", "torchvision": "0.25.0"}])
def test_without_one_or_with_an_old_one_torch_is_installed(installed: Callable[..., dict[str, str]], before: dict[str, str]) -> None:  # fmt: skip
    after = installed(**before)
    assert (after["torch"], after["torchvision"]) == (pinned()["torch"], pinned()["torchvision"])
