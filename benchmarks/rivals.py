"""Other ways to train on IDD-Lite beside this project's recipes: same frames, same minutes on the same cores, same scoring.

``python -m benchmarks.rivals --root IDD_LITE --work DIR --minutes 40 [--block scratch|pretrained] [--seeds 0] [--threads 2] [--yolo PYTHON]
[--rates 1 0.3 3 --trial-minutes 5]``. Each rival trains in a process of its own and writes its masks of val at the frames' own size, and
``evaluate.py predictions=`` scores all of them; ``compare.py`` compares each with ours, whose length in steps follows from a timing on these cores.
With ``--rates`` each, ours too, has as many trials, which multiply its learning rate, on drives of train that are put aside; the best by mIoU
there trains for the figure. ``--yolo`` is an interpreter that has the package ultralytics (AGPL-3.0; never a dependency of this project). What has
finished is kept in DIR and not repeated when the command is typed again.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rival_layouts import frames, put_aside, share_of_void
from benchmarks.rival_trainings import Pace, Training, rows, run, timed
from benchmarks.timing import machine, markdown_table
from run_folder import write_json
from streams import print_to_stderr

BLOCKS = {"scratch": ("ours", "yolo26n-sem", "torchvision", "lightning"), "pretrained": ("ours", "lightning")}
OFF = 0.05  # the part of the minutes by which a training may be longer or shorter without a word
HEADER = ("what", "seed", "learning rate", "minutes of training", "with start and masks", "mIoU", "difference from ours", "p", "of itself")  # fmt: skip


def once(path: Path, asked: Any, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file keeps, or make it and write it. Raises SystemExit where the file is of something else."""
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] != asked:
            raise SystemExit(
                f"{path} is of {kept['asked']}, not of {asked}. Type another --work, or remove its folder."
            )
        print_to_stderr(f"kept: {path}")
        return dict(kept["found"])
    print_to_stderr(f"{time.strftime('%H:%M:%S')} {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    found = make()
    write_json(path, {"asked": asked, "found": found})
    return found


def result(training: Training, pace: Pace | None) -> dict[str, Any]:
    """Train a rival and score its masks; return {miou, interval, evaluation, minutes, whole, own}, times in minutes."""

    def make() -> dict[str, Any]:
        started = time.monotonic()
        found = training.train(pace)
        return {**found, "whole": (time.monotonic() - started) / 60}

    trained = once(training.folder / "trained.json", training.asked, make)
    if abs(trained["minutes"] / training.minutes - 1) > OFF:
        print_to_stderr(
            f"{training.folder.name} trained for {trained['minutes']:.2f} minutes, not {training.minutes:g}"
        )
    scored = once(training.folder / "scored.json", training.asked, lambda: score(training, trained["masks"]))
    return {**trained, **scored}


def score(training: Training, masks: str) -> dict[str, Any]:
    """Score masks of val at the frames' own size; return {miou, interval, evaluation}."""
    folder = training.folder / "scored"
    shutil.rmtree(folder, ignore_errors=True)
    keys = [f"predictions={masks}", "predictions_label_space=idd_lite", "data=idd_lite", f"data.root={training.root}"]
    more = ["split=val", f"hydra.run.dir={folder}", "report.html=false"]
    run([sys.executable, "evaluate.py", *keys, *more], training.folder / "score.txt", training.threads)
    scores = json.loads((folder / "evaluation/val/scores.json").read_text(encoding="utf-8"))
    return {"miou": scores["miou"], "interval": scores["intervals"]["miou"], "evaluation": str(folder)}


def compared(first: str, other: str, out: Path) -> dict[str, Any]:
    """Return {value, low, high, p} of what the mIoU of an evaluation has more than that of the first."""
    keys = [f"runs=[{other},{first}]", f"hydra.run.dir={out}", "split=val", "report.images=false", "report.html=false"]
    run([sys.executable, "compare.py", *keys], out.with_suffix(".txt"), 1)
    found = next(row for row in rows(out / "compare.csv") if row["score"] == "miou" and row["second"] and not row["class"])  # fmt: skip
    return {name: float(found[name]) for name in ("value", "low", "high", "p")}


def factor_of(training: Training, rates: Sequence[float], minutes: float, pace: Pace | None) -> float:
    """Return which multiple of the learning rate is best, by mIoU on drives of train that are put aside."""
    work = training.folder.parent
    aside = put_aside(training.root, work / "aside")
    if pace:
        pace = pace.on(len(frames(aside, "train")) / len(frames(training.root, "train")))
    found = {}
    for rate in rates:
        folder = work / f"{training.name}_trial_{rate:g}"
        trial = Training(training.name, aside, folder, minutes, 0, rate, training.pretrained, training.threads, training.yolo)  # fmt: skip
        found[rate] = result(trial, pace)["miou"]
    return max(found, key=lambda rate: found[rate])


def row_of(training: Training, found: dict[str, Any]) -> list[str]:
    """Return a rival's row of the table."""
    low, high = found["interval"]
    reference = training.folder.parent / f"ours_{training.seed}"
    difference, p = "", ""
    if training.name != "ours":
        first = json.loads((reference / "scored.json").read_text(encoding="utf-8"))["found"]["evaluation"]
        asked = [{"first": first}, training.asked]
        than = once(training.folder / "compared.json", asked, lambda: compared(first, found["evaluation"], training.folder / "compared"))  # fmt: skip
        difference, p = f"{than['value']:+.3f} [{than['low']:+.3f}, {than['high']:+.3f}]", f"{than['p']:.4f}"
    figures = [f"{found['minutes']:.1f}", f"{found['whole']:.1f}", f"{found['miou']:.3f} [{low:.3f}, {high:.3f}]"]
    return [training.name, str(training.seed), f"×{training.factor:g}", *figures, difference, p, found["own"]]


def parsed() -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--block", choices=list(BLOCKS), default="scratch")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[])
    parser.add_argument("--trial-minutes", type=float, default=5)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=2, help="of each training; 2 have a process that reads beside them")  # fmt: skip
    parser.add_argument("--yolo", help="an interpreter that has ultralytics; without it, yolo26n-sem is left out")
    typed = parser.parse_args()
    if typed.yolo:
        found = shutil.which(typed.yolo)
        if found is None:
            parser.error(f"--yolo {typed.yolo}: no such program")
        typed.yolo = os.path.abspath(found)  # noqa: PTH100  a virtual environment's is a link that must not be followed
    return typed


def version_of_yolo(interpreter: str, work: Path) -> str:
    """Return the version of ultralytics that an interpreter has. Raises SystemExit where it, or what it needs at its end, is missing."""
    work.mkdir(parents=True, exist_ok=True)
    names = ("ultralytics", "ultralytics-thop", "polars")
    asking = f"from importlib.metadata import version; print([version(name) for name in {names}][0])"
    return run([interpreter, "-c", asking], work / "yolo_version.txt", 1).strip()


def main() -> None:
    """Train, score and compare; print Markdown."""
    typed = parsed()
    root, work = typed.root.resolve(), typed.work.resolve() / typed.block
    pretrained = typed.block == "pretrained"
    program = f", ultralytics {version_of_yolo(typed.yolo, work)}" if typed.yolo and not pretrained else ""
    timing = Training("ours", root, work / "timing", 0, 0, 1, pretrained, typed.threads)
    pace = Pace(**once(work / "timing.json", timing.asked, lambda: timed(timing)))
    table = []
    for name in BLOCKS[typed.block]:
        if name == "yolo26n-sem" and not typed.yolo:
            continue
        own_pace = pace if name == "ours" else None
        common = {"pretrained": pretrained, "threads": typed.threads, "yolo": typed.yolo}
        first = Training(name, root, work / name, typed.minutes, 0, 1, **common)
        factor = factor_of(first, typed.rates, typed.trial_minutes, own_pace) if typed.rates else 1
        for seed in typed.seeds:
            training = Training(name, root, work / f"{name}_{seed}", typed.minutes, seed, factor, **common)
            table.append(row_of(training, result(training, own_pace)))
    print(machine(("torch", "torchvision", "lightning", "segmentation-models-pytorch")) + program)
    print(f"{len(frames(root, 'val'))} frames of val at their own size; void is {share_of_void(root):.2%} of the pixels. Threads: {typed.threads}.\n")  # fmt: skip
    print(markdown_table(HEADER, table))


if __name__ == "__main__":
    main()
