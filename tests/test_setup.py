"""make setup and make wheelhouse around other builds of torch and without a network, with stand-ins for the packages.

The installation of the real ones: tests/cluster/test_setup.py.
"""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE = str(Path(sys.base_prefix, "bin", "python3"))  # not that of a virtual environment
PINNED = """# a comment
alpha==1.0
cuda-toolkit==13.0.3.0 ; python_version >= "3"
nvidia-cublas==13.1 ; python_version >= "3"
torch==2.14.1
torchmetrics==1.9.0
torchvision==0.29.1
triton==3.8.0 ; python_version >= "3"
"""
# By name and version what each depends on.
PACKAGES = {
    ("alpha", "1.0"): (), ("cuda_toolkit", "13.0.3.0"): (), ("nvidia_cublas", "13.1"): (), ("nvidia_cublas_cu12", "12.6"): (),
    ("torch", "2.14.1"): ("nvidia-cublas",), ("torch", "2.14.1+cu126"): ("nvidia-cublas-cu12",), ("torchmetrics", "1.9.0"): ("torch>=2.0",),
    ("torchvision", "0.29.1"): ("torch==2.14.1",), ("torchvision", "0.29.1+cu126"): ("torch==2.14.1",), ("triton", "3.8.0"): (),
}  # fmt: skip
OTHERS = {"alpha==1.0", "torchmetrics==1.9.0"}
OF_PINNED = {
    "cuda-toolkit==13.0.3.0",
    "nvidia-cublas==13.1",
    "torch==2.14.1",
    "torchvision==0.29.1",
    "triton==3.8.0",
    *OTHERS,
}
OF_CU126 = {"nvidia-cublas-cu12==12.6", "torch==2.14.1+cu126", "torchvision==0.29.1+cu126", *OTHERS}


def write_package(folder: Path, name: str, version: str, needs: tuple[str, ...] = ()) -> None:
    """A wheel with one module that has only its version."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in needs)]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.{'whl'}", "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", *metadata, ""]))
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("the wheels")
    for (name, version), needs in PACKAGES.items():
        write_package(folder, name, version, needs)
    return folder


@pytest.fixture
def project(tmp_path):
    """A clone with another pinned set."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "setup.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "requirements.txt").write_text(PINNED)
    return folder


@pytest.fixture
def make(project):
    """Type make with some variables: (exit code, what it printed)."""

    def call(*typed, **variables):
        ours = ("PIP_", "TORCH", "WHEELS", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV")
        known = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env = {**known, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1", **variables}
        typed = (f"PYTHON={BASE}", *typed) if not any(each.startswith("PYTHON=") for each in typed) else typed
        done = subprocess.run(
            ["make", *typed],
            cwd=project,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout

    return call


def installed(project):
    """What lies in the project's own environment, apart from pip and what comes with it."""
    site = next((project / ".venv/lib").glob("python*/site-packages"))
    pairs = (each.name.removesuffix(".dist-info").rsplit("-", 1) for each in site.glob("*.dist-info"))
    return {f"{name.replace('_', '-')}=={version}" for name, version in pairs} - {
        f"{each.name.removesuffix('.dist-info').replace('-', '==', 1)}"
        for tool in ("pip", "setuptools", "wheel")
        for each in site.glob(f"{tool}-*.dist-info")
    }


@pytest.mark.slow
def test_another_torch_is_set_up_from_the_beginning_and_kept(project, make, wheels):
    offline = f"WHEELS={wheels}"
    assert make("setup", offline) == (0, "")
    assert installed(project) == OF_PINNED
    (project / ".venv/mark").touch()
    assert make("setup", offline) == (0, "make: Nothing to be done for 'setup'.\n")

    code, out = make("setup", offline, "TORCH=cu126")
    assert (code, out, installed(project)) == (0, "", OF_CU126)
    assert not (project / ".venv/mark").exists()
    for typed in ((), ("TORCH=cu126",)):
        assert make("setup", *typed) == (0, "make: Nothing to be done for 'setup'.\n")

    (project / ".venv/complete").unlink()  # as after a set-up that was interrupted
    (project / ".venv/mark").touch()
    assert make("setup", offline) == (0, "")
    assert (project / ".venv/complete").read_text() == "cu126\n"
    assert (project / ".venv/mark").exists()

    assert make("setup", offline, "TORCH=pinned")[0] == 0
    assert installed(project) == OF_PINNED


@pytest.mark.slow
def test_what_is_lacking_is_named_and_the_set_up_goes_on_later(project, make, wheels, tmp_path):
    some = shutil.copytree(wheels, tmp_path / "some")
    [absent] = some.glob("alpha-*")
    absent.unlink()
    code, out = make("setup", f"WHEELS={some}", "TORCH=cu126")
    assert code != 0
    assert "No matching distribution found for alpha==1.0" in out
    assert f"WHEELS={some} lacks something: fill it with make wheelhouse TORCH=cu126 WHEELS=DIR, by Python 3." in out
    code, out = make("setup", "TORCH=cu126")
    assert code != 0
    assert (
        "TORCH=cu126: say which package index has this build: make setup TORCH=cu126 TORCH_INDEX=URL, or in pip's configuration."
        in out
    )
    assert make("setup", f"WHEELS={wheels}") == (0, "")  # it is still cu126
    assert installed(project) == OF_CU126


@pytest.mark.slow
@pytest.mark.parametrize(("torch", "expected"), [("pinned", OF_PINNED), ("cu126", OF_CU126), ("system", OTHERS)])
def test_a_wheelhouse_has_what_a_set_up_needs(project, make, wheels, tmp_path, torch, expected):
    # The stand-ins' folder is where pip's own configuration finds packages; it has no spaces in its path for that.
    index = shutil.copytree(wheels, tmp_path / "index")
    code, out = make("wheelhouse", f"TORCH={torch}", PIP_FIND_LINKS=str(index))
    assert code == 0, out
    assert (
        f"wheels: {len(expected)} packages. Set up from it, without a network: make setup TORCH={torch} WHEELS=wheels"
        in out
    )
    found = {"==".join(path.name.split("-")[:2]).replace("_", "-") for path in (project / "wheels").iterdir()}
    assert found == expected
    assert not (project / ".venv").exists()


@pytest.fixture
def indices(wheels, tmp_path):
    """The addresses of two package indices: one that has builds for CUDA 12.6 alone, and one with everything else."""
    for path in wheels.iterdir():
        name, version = path.name.split("-")[:2]
        kind = "builds" if "cu12" in name + version else "others"
        folder = tmp_path / "indices" / kind / name.replace("_", "-")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Keep the test's output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "indices")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield {kind: f"http://127.0.0.1:{server.server_port}/{kind}/" for kind in ("builds", "others")}
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_index_of_a_build_is_typed_beside_the_configured_one(project, make, indices):
    own = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": indices["others"], "PIP_CONFIG_FILE": os.devnull}
    code, out = make("wheelhouse", "TORCH=cu126", **own)
    assert code != 0
    assert "TORCH=cu126: say which package index has this build: make wheelhouse TORCH=cu126 TORCH_INDEX=URL" in out
    code, out = make("wheelhouse", "TORCH=cu126", f"TORCH_INDEX={indices['builds']}", **own)
    assert code == 0, out
    found = {"==".join(path.name.split("-")[:2]).replace("_", "-") for path in (project / "wheels").iterdir()}
    assert found == OF_CU126


@pytest.fixture
def module(tmp_path):
    """What a cluster's module with torch puts on PYTHONPATH."""

    def load(torch="2.11.0a0+site", torchvision="0.26.0"):
        folder = tmp_path / "module"
        folder.mkdir()
        for name, version in (("torch", torch), ("torchvision", torchvision)):
            if version is None:
                (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')\n")
                continue
            write_package(folder, name, version)
            with zipfile.ZipFile(next(folder.glob(f"{name}-*"))) as wheel:
                wheel.extractall(folder)
        return str(folder)

    return load


@pytest.mark.slow
def test_the_systems_torch_is_used_and_nothing_replaces_it(project, make, wheels, module):
    loaded = module()
    code, out = make("setup", "TORCH=system", f"WHEELS={wheels}", PYTHONPATH=loaded)
    assert code == 0, out
    assert "torch 2.11.0a0+site of " in out
    assert installed(project) == OTHERS
    assert "include-system-site-packages = true" in (project / ".venv/pyvenv.cfg").read_text()
    command = [
        str(project / ".venv/bin/python"),
        "-c",
        "import torch, torchmetrics; print(torch.__version__, torch.__file__)",
    ]
    used = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": loaded}, capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert used == f"2.11.0a0+site {loaded}/torch.py\n"
    assert make("setup", PYTHONPATH=loaded) == (0, "make: Nothing to be done for 'setup'.\n")


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"torch": None}, "cannot use torch (No module named torch). Load the module that has torch and torchvision, name another Python"),
        ({"torchvision": None}, "cannot use torchvision (No module named torchvision). Load the module"),
        ({"torch": "2.9.1+cu128"}, "TORCH=system: torch 2.9.1+cu128 is older than 2.11. Load a newer one, or leave TORCH out."),
        ({"torchvision": "0.25.0"}, "TORCH=system: torchvision 0.25.0 is older than 0.26."),
    ],
)  # fmt: skip
def test_a_system_without_a_torch_that_fits_is_refused_and_nothing_changes(project, make, module, versions, message):
    (project / ".venv").mkdir()
    (project / ".venv/complete").touch()
    code, out = make("setup", "TORCH=system", PYTHONPATH=module(**versions))
    assert code != 0
    assert message in out
    assert [path.name for path in (project / ".venv").iterdir()] == ["complete"]


def test_the_python_of_a_virtual_environment_is_not_a_system(project, make, module):
    if sys.prefix == sys.base_prefix:
        pytest.skip("needs a virtual environment")
    code, out = make("setup", "TORCH=system", f"PYTHON={sys.executable}", PYTHONPATH=module())
    assert code != 0
    assert (
        "belongs to a virtual environment, which another one does not see. Type deactivate first, or PYTHON=PATH" in out
    )


def test_wheels_that_are_nowhere_are_refused(project, make):
    code, out = make("setup", "WHEELS=nowhere")
    assert code != 0
    assert (
        "WHEELS=nowhere: there is no such folder. Fill it where there is a network: make wheelhouse WHEELS=nowhere"
        in out
    )
    assert not (project / ".venv").exists()


def test_a_python_that_is_too_old_is_refused(project, make, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    code, out = make("setup", f"PYTHON={old}")
    assert code != 0
    assert (
        f"idd-lightning needs Python 3.11 or newer; {old} is Python 3.9.2. Say which with: make PYTHON=python3.11 setup"
        in out
    )
