"""What tests share: a closed world, tiny generated pictures, and a way to type a command without a new process."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.update(WANDB_MODE="offline", NO_ALBUMENTATIONS_UPDATE="1", WANDB_SILENT="true")
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
    """Caches of one test must not help another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


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


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    """Call a door in this process: door("train", "model=custom_cnn", …) in an empty working directory."""
    from hydra.core.global_hydra import GlobalHydra

    def call(name: str, *overrides: str) -> Answer:
        import importlib

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *overrides])
        GlobalHydra.instance().clear()
        capfd.readouterr()
        module = importlib.import_module(name)
        with pytest.raises(SystemExit) as end:
            getattr(module, name)()
        out, err = capfd.readouterr()
        return Answer(int(end.value.code or 0), out, err)

    return call
