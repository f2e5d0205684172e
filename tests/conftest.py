"""What tests share: a closed world, tiny generated pictures, and a way to type a command without a new process."""

import importlib
import io
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

for name in [name for name in os.environ if name.startswith("WANDB_")]:  # of whoever runs the tests
    del os.environ[name]
os.environ.update(WANDB_MODE="offline", NO_ALBUMENTATIONS_UPDATE="1", WANDB_SILENT="true")
for number in (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
):  # a shell's background or nohup ignore them, and so would runs
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
COLOURS = {"blue": (30, 40, 200), "green": (30, 190, 60), "red": (210, 40, 30)}


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        return Path(self.out.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of one test must not help another. The folder is made by whoever uses it; most tests do not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "caches" / uuid.uuid4().hex))


def make_image_folder(
    root: Path, per_class: int = 12, side: int = 24, classes: dict[str, tuple[int, int, int]] | None = None
) -> Path:
    """A folder per class of noisy pictures in the class's colour."""
    for number, (name, colour) in enumerate((classes or COLOURS).items()):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            noise = np.random.default_rng([number, i]).normal(0, 25, (side, side, 3))
            Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(
                root / name / f"{name}_{i:03}.png"
            )
    return root


def make_mask_folder(root: Path, count: int = 20) -> Path:
    """Frames of 32×48 pixels, ``images/00.png`` with ``masks/00.png``: a sky over a road with a car, and some void.

    Their colours say which is which; masks hold 0 for sky, 1 for road, 2 for car.
    """
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(count):
        draws = np.random.default_rng(i)
        mask = np.zeros((32, 48), np.uint8)
        mask[draws.integers(10, 20) :] = 1
        left = draws.integers(0, 36)
        mask[18:26, left : left + 12] = 2
        mask[30:] = 255
        colour = np.array([[120, 170, 230], [90, 90, 95], [200, 40, 40], *[[0, 0, 0]] * 253])[mask]
        Image.fromarray((colour + draws.normal(0, 12, colour.shape)).clip(0, 255).astype(np.uint8)).save(
            root / "images" / f"{i:02}.png"
        )
        Image.fromarray(mask).save(root / "masks" / f"{i:02}.png")
    return root


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny")


@pytest.fixture(scope="session")
def mask_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mask_folder(tmp_path_factory.mktemp("streets") / "tiny")


def type_command(name: str, *overrides: str, figures: bool = False) -> int:
    """Call a command in this process and working directory, as if it had been typed. Returns its exit code.

    Without `figures` none are drawn, and no page is written: that takes half of the time of a run of this size.
    """
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    module = importlib.import_module(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", *overrides])
        for drawing in () if figures else ("write_figures", "per_class_figure", "write_page"):
            patch.setattr(f"entry.evaluation.evaluate.{drawing}", lambda *_: None)
        with pytest.raises(SystemExit) as end:
            getattr(module, name)()
    return int(end.value.code or 0)


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Call a command in this process: run_command("train", "model=custom_cnn", …) in an empty working directory."""

    def call(name: str, *overrides: str, figures: bool = False) -> Answer:
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = type_command(name, *overrides, figures=figures)
        return Answer(code, *capfd.readouterr())

    return call


def in_this_process(arguments: Sequence[str]) -> list[str]:
    """What is typed beside them so that Hydra's own launcher calls the jobs of -m in this process."""
    if not {"-m", "hydra.mode=MULTIRUN"} & {*arguments}:
        return []
    groups = ("hydra/launcher", "hydra/sweeper")
    return [f"{group}=basic" for group in groups if not any(each.startswith(group) for each in arguments)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of what the tests of a module share."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def run_shared_command(workplace: Path) -> Callable[..., Answer]:
    """As `run_command`, for runs that the tests of a module share; what changes its run takes a copy of it."""

    def call(name: str, *overrides: str, figures: bool = False) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(workplace)
            patch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
            code = type_command(name, *overrides, figures=figures)
        return Answer(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def sbatch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that behave as a cluster's; what sbatch was given is in ``scripts``."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "scripts").mkdir()
    (programs / "srun").write_text("#!/bin/sh\n")
    (programs / "squeue").write_text("#!/bin/sh\n")
    (programs / "sbatch").write_text(
        f'#!/bin/sh\nn=$(ls {programs}/scripts | wc -l)\ncp "$1" {programs}/scripts/$n\necho "Submitted batch job 10$n"\n'
    )
    for name in ("srun", "squeue", "sbatch"):
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs
