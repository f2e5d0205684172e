"""Kill runs at random moments and compare every bit: python -m tests.chaos [--task segmentation] [--kills 20] [--seed 0].

Moments are drawn uniformly over the wall time of a run; then more are aimed at phases until each was hit often enough.
"""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.chaos.harness import (
    RECIPES,
    Killed,
    Setting,
    at_second,
    draw,
    finish,
    in_phase,
    kill_and_resume,
    make_data,
    train,
)

SETTINGS = (Setting(1, 0, 2), Setting(2, 1, 0), Setting(1, 2, 1), Setting(2, 0, 1), Setting(1, 1, 0))
WANTED = {"validation": 3, "checkpoint": 3, "step": 3, "evaluation": 1}  # "step" with workers


def reference(work: Path, data: Path, setting: Setting) -> tuple[Path, float]:
    """Return an undisturbed run, and its wall time in seconds under the instrumentation of the killed ones."""
    folder = work / f"reference-{setting.ranks}"
    finish(train(folder, data, setting))
    began = time.monotonic()
    finish(train(work / "timed", data, setting, work / "phase"))
    shutil.rmtree(work / "timed")
    return folder, time.monotonic() - began


def report(setting: Setting, kills: list[Killed]) -> None:
    """Print a line for each kill."""
    for killed in kills:
        same = "identical" if not killed.differences else f"DIFFERS: {', '.join(killed.differences[:5])}"
        workers = f"{setting.ranks} rank(s), workers {setting.workers} then {setting.workers_after}"
        print(
            f"{workers}: killed after {killed.seconds:5.2f} s in {killed.phase:10}  {killed.resumed_from}  {same}",
            flush=True,
        )


def main() -> int:
    """Kill, resume, compare; the exit code is 0 if every run ended identically."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=RECIPES, default="classification")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    all_kills: list[Killed] = []
    hit: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        work = Path(name)
        data = make_data(work / "data", options.task)
        chosen = [replace(setting, task=options.task) for setting in SETTINGS]
        references = {ranks: reference(work, data, Setting(ranks, task=options.task)) for ranks in (1, 2)}

        def strike(setting: Setting, moments: list) -> None:
            kills = kill_and_resume(work, data, setting, moments, references[setting.ranks][0])
            report(setting, kills)
            all_kills.extend(kills)
            hit.update(k.phase for k in kills if k.phase != "step" or setting.workers)

        settings = itertools.cycle(chosen)
        for number in range(options.kills):
            setting = next(settings)
            twice = number % 5 == 4  # the resumed run is killed too
            seconds = draw(options.seed + number, references[setting.ranks][1], 1 + twice)
            strike(setting, [at_second(second) for second in seconds])
        for phase, wanted in WANTED.items():
            for number in range(wanted):
                if hit[phase] < wanted:
                    setting = chosen[(1, 2, 4)[number % 3]]
                    strike(setting, [in_phase(phase, 2 + number if phase != "evaluation" else 1, delay=0.01 * number)])
    bad = [killed for killed in all_kills if killed.differences]
    print(
        f"{len(all_kills)} kills ({', '.join(f'{n} in {p}' for p, n in hit.most_common())}); {len(bad)} ended differently."
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
