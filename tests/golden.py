"""Run a base commit and the working tree on this machine and compare figures bit by bit: python -m tests.golden BASE.

Each case is run by both in folders of the same name, on the same data; history.csv (seconds aside), the weights of
best.ckpt and last.ckpt, split.csv and every scores.json must be equal. A change that moves a figure on purpose names the case in
MOVED, with the reason.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from label_spaces.catalogue import load
from tests.conftest import make_image_folder, make_mask_folder

ROOT = Path(__file__).resolve().parents[1]
MOVED: Mapping[str, str] = {}  # case: why its figures differ from the base's on purpose

EXACT = ("trainer.precision=32-true", "trainer.deterministic=true", "trainer.threads=1", "logger=csv")
IMAGES = (
    *EXACT,
    "data=image_folder",
    "data.root={data}/images",
    "data.image_size=[24,24]",
    "data.batch_size=8",
    "data.num_workers=0",
)
CNN = (*IMAGES, "aug=flip_rotate", "scheduler=cosine", "loss.class_weights=balanced", "trainer.max_epochs=3")
MASKS = (*EXACT, "trainer=cpu", "data=mask_folder", "data.root={data}/masks", "data.image_size=[32,48]", "data.num_workers=0",
         "data.batch_size=4", "model=deeplabv3_mobilenet_v3_large", "model.weights=none")  # fmt: skip
TRAINED = ("data.classes=[sky,road,car]", "aug=road", "loss.name=dice_cross_entropy", "ema.decay=0.9", "optimizer=sgd",
           "scheduler=poly", "trainer.max_epochs=2")  # fmt: skip
STREETS = (*EXACT, "trainer=cpu", "data=mask_folder", "data.root={data}/streets", "data.image_size=[32,48]", "data.num_workers=0",
           "data.label_space=idd_level3")  # fmt: skip
# Name: what is typed, one command after the other; {data} and {runs} are filled in, the first word is the command.
CASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "custom_cnn": (("train", "trainer=cpu", *CNN, "hydra.run.dir={runs}/custom_cnn"),),
    "two_ranks": (("train", "trainer=ddp_cpu", *CNN, "hydra.run.dir={runs}/two_ranks"),),
    "resumed": (
        ("train", "trainer=cpu", *CNN, "trainer.max_epochs=1", "hydra.run.dir={runs}/resumed"),
        ("train", "resume={runs}/resumed", "trainer.max_epochs=2"),
        ("evaluate", "run={runs}/resumed", "split=val", "checkpoint=last", "evaluation.flip=true"),
    ),
    "synthetic_crops": (
        ("train", "trainer=cpu", *EXACT, "data.root={data}/synthetic", "data.fraction=0.3", "data.num_workers=0", "trainer.max_epochs=1",
         "hydra.run.dir={runs}/synthetic_crops"),
    ),
    "deeplabv3": (
        ("train", *MASKS, *TRAINED, "report.region_sizes=true", "hydra.run.dir={runs}/deeplabv3"),
        ("evaluate", "run={runs}/deeplabv3", "split=val", "evaluation.flip=true", "evaluation.scales=[0.75,1.0]", "evaluation.window=[24,32]"),
    ),
    "external_masks": (
        ("evaluate", "predictions={data}/predicted", "predictions_label_space=voc21", *STREETS, "hydra.run.dir={runs}/external_masks"),
    ),
    "external_weights": (
        ("evaluate", "model=deeplabv3_mobilenet_v3_large", "model.weights={data}/voc21.pt", "model.label_space=voc21", *STREETS,
         "hydra.run.dir={runs}/external_weights"),
    ),
}  # fmt: skip


def make_data(data: Path) -> None:
    """Images, masks, a street in IDD's classes with predictions in PASCAL VOC's, and the weights of a model of these."""
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    make_image_folder(data / "images", per_class=30)
    make_mask_folder(data / "masks")
    make_mask_folder(data / "streets")
    make_mask_folder(data / "voc")
    names = {"streets": ("sky + fallback background", "road", "car"), "predicted": ("background", "background", "car")}
    for folder, classes in names.items():
        space = load("idd_level3" if folder == "streets" else "voc21")
        table = np.full(256, 255, np.uint8)
        table[:3] = [(space.ids or range(space.num_classes))[space.classes.index(name)] for name in classes]
        target = data / folder / "masks" if folder == "streets" else data / folder
        target.mkdir(exist_ok=True)
        for file in sorted((data / "voc/masks").iterdir()):
            mask = table[np.array(Image.open(file))]
            if folder == "predicted":
                mask[:3, :] = space.classes.index("person")
            Image.fromarray(mask).save(target / file.name)
    torch.manual_seed(0)
    torch.save(
        deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True).state_dict(), data / "voc21.pt"
    )


def run(source: Path, name: str, data: Path, place: Path) -> None:
    """Type a case's commands with the code in `source`; run folders go below `place`."""
    environment = {**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONDONTWRITEBYTECODE": "1",
                   "XDG_CACHE_HOME": str(place / "cache")}  # fmt: skip
    for command, *words in CASES[name]:
        typed = [word.format(data=data, runs=place / "runs") for word in words]
        done = subprocess.run(
            [sys.executable, str(source / f"{command}.py"), *typed],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name}: {command}.py ended with {done.returncode} in {source}:\n{done.stderr[-2000:]}")


def history(path: Path) -> list[dict[str, str]]:
    """The rows of history.csv without their seconds."""
    with path.open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def differences(before: Path, after: Path) -> Iterator[str]:
    """What differs between two run folders."""
    for file in ("history.csv", "split.csv"):
        if (before / file).exists() and history(before / file) != history(after / file):
            yield file
    for file in sorted(before.glob("checkpoints/[bl]*.ckpt")):
        one, two = (
            torch.load(folder / "checkpoints" / file.name, weights_only=True)["state_dict"]
            for folder in (before, after)
        )
        if one.keys() != two.keys():
            yield f"{file.name}: names of tensors"
        changed = [key for key in one.keys() & two.keys() if not torch.equal(one[key], two[key])]
        if changed:
            yield f"{file.name}: {len(changed)} tensors, such as {min(changed)}"
    for file in sorted(before.glob("evaluation/*/scores.json")):
        one, two = (json.loads((folder / file.relative_to(before)).read_text()) for folder in (before, after))
        changed = [key for key in {**one, **two} if one.get(key) != two.get(key)]
        if changed:
            yield f"{file.relative_to(before)}: {', '.join(changed)}"


def main() -> int:
    """Compare every case, or those named; returns how many differ without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="a commit")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    arguments = parser.parse_args()
    unexplained = 0
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        place = Path(folder)
        source = place / "source"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(source), arguments.base], cwd=ROOT, check=True
        )
        try:
            make_data(place / "data")
            for name in arguments.cases or CASES:
                for side, code in (("base", source), ("head", ROOT)):
                    (place / side).mkdir(exist_ok=True)
                    run(code, name, place / "data", place / side)
                found = list(differences(place / "base/runs" / name, place / "head/runs" / name))
                print(
                    f"{name}: {'; '.join(found) or 'equal'}{f' ({MOVED[name]})' if name in MOVED else ''}", flush=True
                )
                unexplained += bool(found) and name not in MOVED
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(source)], cwd=ROOT, check=False)
    return unexplained


if __name__ == "__main__":
    sys.exit(main())
