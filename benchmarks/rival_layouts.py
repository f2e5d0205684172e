"""IDD-Lite's files as `benchmarks/rivals.py` needs them: drives put aside for trials, and the layout that Ultralytics reads."""

from pathlib import Path

import cv2
import numpy as np
import yaml

from label_spaces import catalogue


def frames(root: Path, split: str) -> list[Path]:
    """Return the frames of a split that have masks."""
    found = sorted((root / "leftImg8bit" / split).glob("*/*_image.jpg"))
    return [path for path in found if mask_of(root, path).is_file()]


def mask_of(root: Path, frame: Path) -> Path:
    """Return where a frame's mask lies."""
    name = frame.name.replace("_image.jpg", "_label.png")
    return root / "gtFine" / frame.parent.parent.name / frame.parent.name / name


def put_aside(root: Path, out: Path) -> Path:
    """Make a tree of links in IDD-Lite's layout whose val is every tenth drive of train, and its train the others; return it."""
    drives = sorted({path.parent.name for path in frames(root, "train")})
    for path in frames(root, "train"):
        split = "val" if drives.index(path.parent.name) % 10 == 0 else "train"
        for folder, file in (("leftImg8bit", path), ("gtFine", mask_of(root, path))):
            link(out / folder / split / path.parent.name / file.name, file)
    return out


def yolo_layout(root: Path, out: Path) -> Path:
    """Make links images/<split>/<drive>+<id>_image.jpg and masks/ beside it, as Ultralytics reads them; return its YAML file."""
    for split in ("train", "val"):
        for path in frames(root, split):
            name = f"{path.parent.name}+{path.stem}"
            link(out / "images" / split / f"{name}.jpg", path)
            link(out / "masks" / split / f"{name}.png", mask_of(root, path))
    names = dict(enumerate(catalogue.load("idd_lite").classes))
    facts = {"path": str(out), "train": "images/train", "val": "images/val", "masks_dir": "masks", "names": names}
    (out / "data.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    return out / "data.yaml"


def link(place: Path, file: Path) -> None:
    """Make a symbolic link to a file where there is none yet."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(file.resolve())


def in_layout(flat: Path, masks: Path) -> None:
    """Copy flat/<drive>+<id>_image.png to masks/<drive>/<id>_label.png, IDD-Lite's names."""
    for path in flat.glob("*.png"):
        drive, _, name = path.name.partition("+")
        target = masks / drive / name.replace("_image.png", "_label.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def share_of_void(root: Path) -> float:
    """Return the part of val's pixels that is void, in 0..1."""
    masks = [cv2.imread(str(mask_of(root, path)), cv2.IMREAD_UNCHANGED) for path in frames(root, "val")]
    return float(np.mean([(mask == 255).mean() for mask in masks if mask is not None]))
