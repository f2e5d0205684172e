"""Are differences between evaluations judged correctly? Simulated drives, and real drives drawn again and again.

    python -m benchmarks.comparing [--repeats 1000] [--seed 0]

Prints Markdown: how often the interval of 95 % holds the true difference, its mean width as a multiple of the oracle's
(1.96 standard deviations of the estimate on either side), and how often a difference is claimed. With REAL_DATA set also for
IDD-Lite: its drives with truth are the population, and its models are tables of colours, rows and places.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.timing import high_water, machine, markdown_table
from datamodules.files.frame_pairs import list_pairs
from datamodules.files.images import read_image
from datamodules.files.masks import image_mask
from datamodules.idd_lite import LAYOUT
from label_spaces.catalogue import load
from metrics.class_sums import sums_by_group
from metrics.comparison import Difference, Statistics, compare_recipes, compare_runs
from metrics.pixel_baselines import pixel_tables

STATISTICS = Statistics(("accuracy", "f1_macro", "miou"), ("iou",))
CLAIMS = ("better", "worse")
Sides = tuple[list[np.ndarray], list[np.ndarray]]  # the runs of the first and of the second side


@dataclass(frozen=True)
class Streets:
    """Simulated drives, in which the elements of a class are recognised alike: their intraclass correlation is 0.31.

    Args:
        presence: (C,) the share of drives with each class.
        drives: their number.
        lost: (2, C) the share of each class's right predictions that the first and the second model lose.
        seeds: runs of each model.
        spread: standard deviation of what a seed adds to the share that is recognised.
        size: elements of a class per frame; a drive has one to seven frames.
    """

    presence: np.ndarray
    drives: int
    lost: np.ndarray
    seeds: int = 1
    spread: float = 0.0
    size: int = 20

    def draw(self, draws: np.random.Generator) -> Sides:
        """Draw drives and what both models predict there."""
        shape = self.drives, len(self.presence)
        frames = draws.integers(1, 8, (self.drives, 1))
        true = draws.poisson(self.size * frames * (draws.random(shape) < self.presence))
        shared = draws.beta(0.9, 0.3, shape)
        first, second = (
            [self._predict(draws, true, shared, lost, draws.normal(0, self.spread)) for _ in range(self.seeds)]
            for lost in self.lost
        )
        return first, second

    def _predict(self, draws: np.random.Generator, true: np.ndarray, shared: np.ndarray, lost: np.ndarray, of_seed: float) -> np.ndarray:  # fmt: skip
        ability = 0.8 * shared + 0.2 * draws.beta(0.9, 0.3, true.shape) + of_seed
        hits = draws.binomial(true, ability.clip(0, 1) * (1 - lost))
        taken = draws.multinomial(true - hits, self._confusions()).sum(1)
        return np.stack([hits, true, hits + taken[:, :-1]], axis=1).astype(np.float64)

    def _confusions(self) -> np.ndarray:
        """What a missed class is taken for: others as they are common, sometimes void; never itself."""
        shares = np.append(self.presence / self.presence.sum(), 0.05) * np.ones((len(self.presence), 1))
        np.fill_diagonal(shares, 0)
        return shares / shares.sum(1, keepdims=True)

    def truth(self, sides: Sides) -> np.ndarray:
        """The differences in infinitely many drives, over the classes that occur in these; only where seeds do not vary or models do not."""
        values = []
        for lost, runs in zip(self.lost, sides, strict=True):
            hits = 0.75 * self.presence * (1 - lost)
            predicted = hits + ((self.presence - hits)[:, None] * self._confusions())[:, :-1].sum(0)
            values.append(STATISTICS.of(np.stack([hits, self.presence, predicted]), runs[0].sum(0)))
        return np.asarray(values[0] - values[1])


@dataclass(frozen=True)
class Outcome:
    """Of repeated comparisons, (M,) for each of the means.

    The share of intervals that hold the truth, their width by the oracle's, the share of claimed differences, the estimates'
    standard error, and how often any class is claimed to differ.
    """

    coverage: np.ndarray
    width: np.ndarray
    claimed: np.ndarray
    error: np.ndarray
    classes: float


def compare(sides: Sides) -> list[Difference]:
    """Compare two runs, or two groups of seeds."""
    first, second = sides
    return compare_runs(first[0], second[0], STATISTICS) if len(first) == 1 else compare_recipes(first, second, STATISTICS)  # fmt: skip


def repeat(draw: Callable[[], Sides], truth: Callable[[Sides], np.ndarray], repeats: int) -> Outcome:
    """Draw both sides and compare them, so many times."""
    number = len(STATISTICS.means)
    errors, bounds, claims = [], [], []
    for _ in range(repeats):
        sides = draw()
        found, right = compare(sides), truth(sides)[:number]
        errors.append([each.value for each in found[:number]] - right)
        bounds.append(np.array([each.interval for each in found[:number]]) - right[:, None])
        claims.append([each.verdict in CLAIMS for each in found])
    error, low, high = np.std(errors, axis=0), *np.moveaxis(np.array(bounds), -1, 0)
    claimed = np.array(claims)
    width = (high - low).mean(0) / (2 * 1.96 * error)
    return Outcome(((low <= 0) & (high >= 0)).mean(0), width, claimed[:, :number].mean(0), error, float(claimed[:, number:].any(1).mean()))  # fmt: skip


def simulated(repeats: int, seed: int) -> Iterator[tuple[str, Outcome]]:
    """The cases of the first table."""
    draws = np.random.default_rng(seed)

    def outcome(streets: Streets) -> Outcome:
        return repeat(lambda: streets.draw(draws), streets.truth, repeats)

    rare, even = np.geomspace(1, 0.12, 26), np.full(10, 0.8)
    sides = np.zeros((2, 10))
    sides[0, ::2] = sides[1, 1::2] = 0.1
    for name, streets in {
        "11 classes, 30 drives": Streets(np.geomspace(1, 0.3, 11), 30, np.zeros((2, 11))),
        "26 classes, rare ones, 60 drives": Streets(rare, 60, np.zeros((2, 26))),
        "26 classes, rare ones, 200 drives": Streets(rare, 200, np.zeros((2, 26))),
        "10 classes, each model better in half of them, 60 drives": Streets(even, 60, sides),
        "five seeds a side, 10 classes, 60 drives": Streets(even, 60, np.zeros((2, 10)), seeds=5, spread=0.01),
        "ten seeds a side, 10 classes, 60 drives": Streets(even, 60, np.zeros((2, 10)), seeds=10, spread=0.01),
    }.items():
        yield f"equal: {name}", outcome(streets)
    for name, streets in {
        "11 classes, 30 drives": Streets(np.geomspace(1, 0.3, 11), 30, np.zeros((2, 11))),
        "26 classes, rare ones, 60 drives": Streets(rare, 60, np.zeros((2, 26))),
    }.items():
        yield f"3.3 standard errors apart: {name}", outcome(apart(streets, draws, repeats))


def apart(streets: Streets, draws: np.random.Generator, repeats: int) -> Streets:
    """The streets with a second model that is 3.3 standard errors of the difference in mIoU below the first."""
    miou, number = STATISTICS.means.index("miou"), streets.lost.shape[1]
    pilot = repeat(lambda: streets.draw(draws), streets.truth, min(repeats, 300))
    worse = replace(streets, lost=np.stack([np.zeros(number), np.full(number, 0.01)]))
    slope = worse.truth(worse.draw(draws))[miou] / 0.01
    return replace(streets, lost=np.stack([np.zeros(number), np.full(number, 3.3 * pilot.error[miou] / slope)]))


def real_models(root: Path, seeds: int = 20) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """The (G, 3, C) sums of each table, learnt from all of train, and of tables of colours and rows that have seen half of it."""
    space = load("idd_level1")
    pairs = [pair for pair in list_pairs([root], LAYOUT).pairs if pair.split in ("train", "val")]
    drives = sorted({pair.group for pair in pairs})
    of_drive = {drive: pixel_tables(space.num_classes) for drive in drives}
    for pair in pairs:
        image, mask = read_image(root / pair.name).transpose(2, 0, 1), image_mask(root / pair.truth, space)
        for table in of_drive[pair.group].values():
            table.update(image, mask)
    learnt_from = sorted({pair.group for pair in pairs if pair.split == "train"})

    def sums(name: str, seen: list[str]) -> np.ndarray:
        table = pixel_tables(space.num_classes)[name]
        for drive in seen:
            table.counts += of_drive[drive][name].counts
        matrices = np.stack([table.confusion(of_drive[drive][name]).ravel() for drive in drives])
        cells = np.tile(np.arange(matrices.shape[1]), len(drives))
        ends = np.arange(len(drives) + 1) * matrices.shape[1]
        return sums_by_group(np.arange(len(drives)), ends, cells, matrices.ravel(), space.num_classes)

    draws = np.random.default_rng(0)
    halves = [draws.permutation(learnt_from)[: len(learnt_from) // 2].tolist() for _ in range(seeds)]
    return {name: sums(name, learnt_from) for name in pixel_tables(1)}, [sums("colour_row", half) for half in halves]


def as_good_as(worse: np.ndarray, better: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """A mixture of the sums of a better model and of the worst that has the mIoU of a third one in all drives together."""
    miou = STATISTICS.means.index("miou")
    goal = STATISTICS.of(worse.sum(0))[miou]
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        mixed = (1 - share) * better + share * worst
        low, high = (share, high) if STATISTICS.of(mixed.sum(0))[miou] > goal else (low, share)
    return np.asarray(mixed)


def real(root: Path, repeats: int, seed: int, drives: int = 60) -> Iterator[tuple[str, Outcome]]:
    """The cases of the second table: drives are drawn with replacement; the truth is the difference in all of them."""
    draws = np.random.default_rng(seed)
    models, seeds = real_models(root)

    def outcome(first: np.ndarray, second: np.ndarray) -> Outcome:
        right = STATISTICS.of(first.sum(0)) - STATISTICS.of(second.sum(0))

        def draw() -> Sides:
            chosen = draws.integers(0, len(first), drives)
            return [first[chosen]], [second[chosen]]

        return repeat(draw, lambda _: right, repeats)

    def same_recipe() -> Sides:
        chosen = draws.integers(0, len(seeds[0]), drives)
        ten = [seeds[i][chosen] for i in draws.permutation(len(seeds))[:10]]
        return ten[:5], ten[5:]

    names = list(models)
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            yield f"{name} and {other}", outcome(models[name], models[other])
    mixed = as_good_as(models["colour_table"], models["colour_row"], models["position_prior"])
    yield "equal mIoU: colour_table and a mixture of the others", outcome(models["colour_table"], mixed)
    yield "equal: five and five seeds of one recipe", repeat(same_recipe, lambda _: np.zeros(99), repeats)


def speed(samples: int = 10_000, drives: int = 200, classes: int = 26, cells: int = 80) -> str:
    """A line on the time and memory of comparing two runs, from the cells of per_sample.npz on."""
    draws = np.random.default_rng(0)
    shape = samples, cells
    cell = draws.integers(0, classes * (classes + 1), shape)
    other = cell // (classes + 1) * (classes + 1) + draws.integers(0, classes + 1, shape)  # the truth is the same
    count, ends = draws.integers(1, 2000, cell.size), np.arange(samples + 1) * cells
    before, start = high_water(reset=True), time.perf_counter()
    runs = [sums_by_group(np.arange(samples) % drives, ends, each.ravel(), count, classes) for each in (cell, other)]
    compare_runs(*runs, STATISTICS)
    seconds = time.perf_counter() - start
    return f"{samples} samples, {classes} classes, {drives} drives: {seconds:.2f} s, {(high_water() - before) / 1e6:.0f} MB."


def table(cases: Iterator[tuple[str, Outcome]]) -> str:
    """The outcomes as Markdown, each number for accuracy, macro F1 and mIoU."""
    header = [
        "case",
        "interval holds the truth, %",
        "width by the oracle's",
        "difference claimed, %",
        "of any class, %",
    ]
    rows = [
        [
            name,
            ", ".join(f"{100 * each:.1f}" for each in outcome.coverage),
            ", ".join(f"{each:.2f}" for each in outcome.width),
            ", ".join(f"{100 * each:.1f}" for each in outcome.claimed),
            f"{100 * outcome.classes:.1f}",
        ]
        for name, outcome in cases
    ]
    return markdown_table(header, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{machine(('numpy', 'scipy'))}; {options.repeats} repeats\n\n{speed()}\n")
    print(table(simulated(options.repeats, options.seed)), flush=True)
    if "REAL_DATA" in os.environ:
        root = Path(os.environ["REAL_DATA"]) / "idd20k_lite"
        print("\n" + table(real(root, options.repeats, options.seed)))


if __name__ == "__main__":
    main()
