"""Other ways to train on IDD-Lite beside this project's recipes: same frames, same minutes on the same cores, same scoring.

``python -m benchmarks.rivals --root IDD_LITE --work DIR --minutes 40 [--block scratch|pretrained] [--seeds 0] [--yolo PYTHON]
[--rates 1 0.3 3 --trial-minutes 5]``. Each rival trains in a process of its own and writes its masks of val at the frames' own size, and
``evaluate.py predictions=`` scores all of them; ``compare.py`` compares each with ours. With ``--rates`` each has as many trials, which multiply its
learning rate, on drives of train that are put aside; the best by mIoU there trains for the figure. ``--yolo`` is an interpreter that has the
package ultralytics (AGPL-3.0; never a dependency of this project). What has finished is not repeated when the command is typed again.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rival_loops import frames, mask_of
from benchmarks.timing import machine, markdown_table
from label_spaces import catalogue

PROJECT = Path(__file__).resolve().parents[1]
BLOCKS = {"scratch": ("ours", "yolo26n-sem", "torchvision", "lightning"), "pretrained": ("ours", "lightning")}
RATES = {"yolo26n-sem": 0.01, "torchvision": 0.02, "lightning": 2e-3}  # that the trials multiply
# Run by another interpreter; its own mIoU is printed last, as JSON.
YOLO = """
import json, sys
from pathlib import Path
import cv2
from ultralytics import YOLO
data, project, minutes, seed, rate = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
model = YOLO("yolo26n-sem.yaml", task="semantic")
model.train(data=data, imgsz=320, batch=8, time=minutes / 60, device="cpu", workers=1, seed=seed, pretrained=False, plots=False,
            optimizer="SGD", lr0=rate, project=project, name="run", exist_ok=True, verbose=False)
best = YOLO(str(Path(project) / "run/weights/best.pt"))
own = best.val(data=data, imgsz=320, device="cpu", plots=False, project=project, name="val", exist_ok=True).results_dict
(Path(project) / "masks").mkdir(exist_ok=True)
for image in sorted((Path(data).parent / "images/val").iterdir()):
    [found] = best.predict(str(image), imgsz=320, device="cpu", verbose=False)
    ids = found.semantic_mask.data.squeeze().cpu().numpy().astype("uint8")
    cv2.imwrite(str(Path(project) / "masks" / (image.stem + ".png")), ids)
print(json.dumps({name: float(value) for name, value in own.items()}))
"""


def put_aside(root: Path, out: Path) -> Path:
    """Make a tree in IDD-Lite's layout of links whose val is every tenth drive of train, and its train the others; return it."""
    drives = sorted({path.parent.name for path in frames(root, "train")})
    for path in frames(root, "train"):
        split = "val" if drives.index(path.parent.name) % 10 == 0 else "train"
        for folder, file in (("leftImg8bit", path), ("gtFine", mask_of(root, path))):
            link = out / folder / split / path.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(file.resolve())
    return out


def yolo_layout(root: Path, out: Path) -> Path:
    """Make images/<split>/<drive>_<name>.jpg and masks/ beside it, as Ultralytics reads them; return its YAML file."""
    for split in ("train", "val"):
        for path in frames(root, split):
            name = f"{path.parent.name}+{path.stem}"
            for folder, suffix, file in (("images", ".jpg", path), ("masks", ".png", mask_of(root, path))):
                link = out / folder / split / (name + suffix)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(file.resolve())
    names = dict(enumerate(catalogue.load("idd_lite").classes))
    facts = {"path": str(out), "train": "images/train", "val": "images/val", "masks_dir": "masks", "names": names}
    (out / "data.yaml").write_text(yaml.safe_dump(facts))
    return out / "data.yaml"


def trained(name: str, root: Path, work: Path, arguments: argparse.Namespace, minutes: float, seed: int, factor: float) -> dict[str, Any]:  # fmt: skip
    """Train a rival for some minutes, score its masks, and return {miou, interval, evaluation, minutes, own}; kept in a file, so that it is done once."""
    kept = work / "result.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    work.mkdir(parents=True, exist_ok=True)
    masks, started, own = work / "masks", time.monotonic(), {}
    pretrained = arguments.block == "pretrained"
    if name == "ours":
        evaluation = ours(root, work, seed, factor, pretrained=pretrained)
    else:
        rate = RATES[name] * factor
        if name == "yolo26n-sem":
            data = yolo_layout(root, work / "data")
            printed = run([arguments.yolo, "-c", YOLO, data, work, minutes, seed, rate], work / "log.txt")
            own = json.loads(printed.splitlines()[-1])
            in_layout(masks)
        else:
            weights = "lite" if pretrained else "none"
            loop = [sys.executable, "-m", "benchmarks.rival_loops", name, "--root", root, "--out", masks]
            run([*loop, "--minutes", minutes, "--seed", seed, "--lr", rate, "--weights", weights], work / "log.txt")
        spent = time.monotonic() - started
        evaluation = work / "scored"
        keys = [f"predictions={masks}", "predictions_label_space=idd_lite", "data=idd_lite", f"data.root={root}"]
        command = [
            sys.executable,
            "evaluate.py",
            *keys,
            "split=val",
            f"hydra.run.dir={evaluation}",
            "report.html=false",
        ]
        run(command, work / "score.txt")
    if name == "ours":
        spent = time.monotonic() - started
    scores = json.loads((evaluation / "evaluation/val/scores.json").read_text())
    found = {"miou": scores["miou"], "interval": scores["intervals"]["miou"], "n": scores["n_unique"]}
    found |= {"evaluation": str(evaluation), "minutes": spent / 60, "own": own}
    kept.write_text(json.dumps(found, indent=1))
    return found


def ours(root: Path, work: Path, seed: int, factor: float, *, pretrained: bool) -> Path:
    """Train this project's recipe, whose length its file has; return its run folder."""
    recipe = "idd_lite" if pretrained else "idd_lite_scratch"
    rate = yaml.safe_load((PROJECT / f"conf/experiment/{recipe}.yaml").read_text())["optimizer"]["lr"] * factor
    keys = [f"experiment={recipe}", f"data.root={root}", f"seed={seed}", f"optimizer.lr={rate}", "report.html=false"]
    folder = work / "run"
    run([sys.executable, "train.py", *keys, f"hydra.run.dir={folder}", "logger=csv", "resume=auto"], work / "log.txt")
    return folder


def in_layout(masks: Path) -> None:
    """Move <drive>+<id>_image.png to where IDD-Lite has its masks."""
    for path in list(masks.glob("*.png")):
        drive, _, name = path.name.partition("+")
        target = masks / drive / name.replace("_image.png", "_label.png")
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


def run(command: Sequence[object], log: Path) -> str:
    """Run a command from the project's root and return its output, which is also kept."""
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "offline", "YOLO_OFFLINE": "1"}
    done = subprocess.run(
        [str(each) for each in command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(str(each) for each in command[:4])}: exit code {done.returncode}, see {log}")
    return done.stdout


def share_of_void(root: Path) -> float:
    """Return the part of val's pixels that is void."""
    masks = [cv2.imread(str(mask_of(root, path)), cv2.IMREAD_UNCHANGED) for path in frames(root, "val")]
    return float(np.mean([(mask == 255).mean() for mask in masks if mask is not None]))


def compared(first: str, other: str, out: Path) -> str:
    """Return what the other's mIoU has more than the first's, with its interval and p-value."""
    keys = [f"runs=[{other},{first}]", f"hydra.run.dir={out}", "split=val", "report.images=false", "report.html=false"]
    run([sys.executable, "compare.py", *keys], out.with_suffix(".txt"))
    with (out / "compare.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["score"] == "miou" and row["second"] and not row["class"])
    return f"{float(row['value']):+.3f} [{float(row['low']):+.3f}, {float(row['high']):+.3f}], p {float(row['p']):.3f}"


def main() -> None:
    """Train, score and compare; print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--block", choices=list(BLOCKS), default="scratch")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[])
    parser.add_argument("--trial-minutes", type=float, default=5)
    parser.add_argument("--yolo")
    arguments = parser.parse_args()
    root, work = arguments.root.resolve(), arguments.work.resolve() / arguments.block
    names = [name for name in BLOCKS[arguments.block] if arguments.yolo or name != "yolo26n-sem"]
    rows = []
    for name in names:
        factor = 1.0
        if arguments.rates and name != "ours":
            aside = put_aside(root, work / "aside")
            tried = {rate: trained(name, aside, work / f"{name}_trial_{rate}", arguments, arguments.trial_minutes, 0, rate)["miou"] for rate in arguments.rates}  # fmt: skip
            factor = max(tried, key=lambda rate: tried[rate])
        for seed in arguments.seeds:
            found = trained(name, root, work / f"{name}_{seed}", arguments, arguments.minutes, seed, factor)
            low, high = found["interval"]
            reference = json.loads((work / f"ours_{seed}/result.json").read_text())["evaluation"]
            difference = "" if name == "ours" else compared(reference, found["evaluation"], work / f"{name}_{seed}/compared")  # fmt: skip
            printed = ", ".join(f"{key} {value:.3f}" for key, value in found["own"].items() if "mIoU" in key)
            rows.append([name, str(seed), f"×{factor:g}", f"{found['minutes']:.1f}", f"{found['miou']:.3f} [{low:.3f}, {high:.3f}]", difference, printed])  # fmt: skip
    print(machine(("torch", "torchvision", "lightning", "segmentation-models-pytorch")))
    print(f"{len(frames(root, 'val'))} frames of val at their own size; void is {share_of_void(root):.2%} of the pixels.\n")  # fmt: skip
    header = ["what", "seed", "learning rate", "minutes", "mIoU", "difference from ours", "as it prints itself"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
