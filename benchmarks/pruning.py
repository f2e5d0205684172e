"""What pruning saves, and what it costs: a search that is really run without and with it, and its curves replayed in other orders.

Run from the root: ``python -m benchmarks.pruning DIR [--trials 20] [--epochs 12] [--fraction 0.3] [--keep FOLDER]``, DIR a folder of
images per class. Prints Markdown. `--keep` leaves the two sweeps in a folder, and reads them from there if they are there.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna

from benchmarks.timing import machine, markdown_table
from entry.request import PROJECT
from run_files import read_csv, read_json

SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-1))", "data.batch_size=16,32,64", "aug=none,flip_rotate")
REPLAYS = 20
SCORE = "val/f1_macro"


def search(folder: Path, pruner: str, typed: Sequence[str]) -> None:
    """Run a search into a folder."""
    command = [
        sys.executable,
        str(PROJECT / "train.py"),
        "-m",
        "hydra/sweeper=optuna",
        f"hydra.sweeper.pruner={pruner}",
        *SPACE,
        *typed,
    ]
    subprocess.run([*command, f"hydra.sweep.dir={folder}"], check=True, cwd=PROJECT, stdout=sys.stderr)


def curves(folder: Path) -> list[list[float]]:
    """The validation scores of each trial, by epoch."""
    rows = [row for row in read_csv(folder / "sweep.csv") if row["folder"]]
    return [[float(each[SCORE]) for each in read_csv(folder / row["folder"] / "history.csv")] for row in rows]


def facts(folder: Path) -> tuple[int, float, float, int]:
    """Epochs that were trained, the winner's validation score, the sum of the jobs' seconds, and the pruned trials of a search."""
    records = [read_json(path) for path in (folder / "jobs").glob("*.json")]
    best = max(record["scores"][SCORE] for record in records if record["state"] == "finished")
    pruned = sum(record["state"] == "pruned" for record in records)
    return sum(record["epochs"] or 0 for record in records), best, sum(record["seconds"] for record in records), pruned


def replay(found: Sequence[Sequence[float]], order: Sequence[int]) -> tuple[float, float]:
    """The share of the epochs that a search with pruning trains, and how much lower its winner's score is, in an order of the trials."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    trained, best = 0, -np.inf
    for place in order:
        trial, curve = study.ask(), found[place]
        for epoch, value in enumerate(curve, 1):
            trained += 1
            trial.report(value, epoch)
            if epoch < len(curve) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, max(curve))
            best = max(best, *curve)
    return trained / sum(map(len, found)), max(map(max, found)) - best


def main() -> None:
    """Run, replay and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--fraction", type=float, default=0.3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    typed = (
        "data=image_folder", f"data.root={options.root.absolute()}", f"data.fraction={options.fraction}", "logger=csv", "report.html=false",
        f"trainer.max_epochs={options.epochs}", f"n_trials={options.trials}", f"jobs={options.jobs}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = (options.keep or Path(name)).absolute()
        for pruner in ("none", "median"):
            if not (folder / pruner / "sweep.csv").exists():
                search(folder / pruner, pruner, typed)
        whole, pruned, found = facts(folder / "none"), facts(folder / "median"), curves(folder / "none")
    orders = [np.random.default_rng(seed).permutation(len(found)).tolist() for seed in range(REPLAYS)]
    replayed = [replay(found, order) for order in orders]
    shares, regrets = zip(*replayed, strict=True)
    print(f"{machine(('torch', 'lightning', 'optuna'))}\n")
    rows = [
        ["epochs trained", str(whole[0]), str(pruned[0]), f"{pruned[0] / whole[0]:.2f}"],
        ["seconds of all jobs", f"{whole[2]:.0f}", f"{pruned[2]:.0f}", f"{pruned[2] / whole[2]:.2f}"],
        ["pruned trials", str(whole[3]), str(pruned[3]), ""],
        [f"winner's {SCORE}", f"{whole[1]:.3f}", f"{pruned[1]:.3f}", f"{pruned[1] - whole[1]:+.3f}"],
    ]
    print(
        markdown_table([f"{options.trials} trials of {options.epochs} epochs", "unpruned", "median pruner", ""], rows)
    )
    print(
        f"\n{REPLAYS} orders of the unpruned trials, replayed with the pruner: {statistics.mean(shares):.2f} of the epochs (largest "
        f"{max(shares):.2f}); the winner's score is {statistics.mean(regrets):.4f} lower in the mean (largest {max(regrets):.4f})."
    )


if __name__ == "__main__":
    main()
