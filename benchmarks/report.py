"""What the page of an evaluation costs: seconds, also of all cores together, bytes, and seconds until a browser shows it.

Run from the root: ``python -m benchmarks.report [--frames 200] [--height 360] [--width 640]``. Prints Markdown.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluating import SPACE, configuration, write_frames
from benchmarks.timing import machine, markdown_table
from entry.builders.modules import build_datamodule, build_module
from entry.checkpoint import Checkpoint
from entry.evaluation import evaluate
from entry.hardware import choose
from entry.run import Run, write_start
from reports.html.evaluation import PAGE
from run_folder import RunFolder
from tests.chromium import PROGRAM, Chromium

MODEL = "deeplabv3_mobilenet_v3_large"
NOISE = 12.0  # grey values, so that pictures are as large as those of photos


def measure(folder: Path, frames: int, size: tuple[int, int]) -> tuple[Path, float, float]:
    """Evaluate an untrained network; return the page, the seconds that it takes, and those of all cores together."""
    write_frames(folder / "frames", frames, size, NOISE)
    typed = ("trainer=cpu", f"data.image_size=[{size[0]},{size[1]}]")
    settings, run_folder = configuration(folder, *typed, model=MODEL), RunFolder(folder / "run")
    datamodule = build_datamodule(settings)
    datamodule.prepare_training()
    module, weights = build_module(settings, datamodule.label_space, "none")
    run_folder.claim(settings.to_yaml(), typed)
    machine_used = choose(settings.trainer)
    write_start(run_folder, settings, machine_used, datamodule, weights, {})
    checkpoint = Checkpoint(run_folder.checkpoints / "best.ckpt", 0, 0, {}, datamodule.label_space)
    seconds: list[float] = []
    write = evaluate.write_page

    def timed(*arguments: Any) -> None:
        start = time.perf_counter(), time.process_time()
        write(*arguments)
        seconds.extend((time.perf_counter() - start[0], time.process_time() - start[1]))

    evaluate.write_page = timed
    evaluate.evaluate_model(Run(run_folder, settings, machine_used, datamodule, module, weights, checkpoint))
    return run_folder.evaluation("test") / PAGE, *seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()
    print(f"{machine(('torch', 'lightning', 'jinja2', 'pillow'))}\n")
    with tempfile.TemporaryDirectory() as name:
        page, seconds, cores = measure(Path(name), options.frames, (options.height, options.width))
        shown = "not measured: no Chromium"
        if PROGRAM is not None:
            with Chromium() as browser:
                shown = f"{statistics.median(browser.show(page) for _ in range(5)):.2f}"
        pictures = page.read_text(encoding="utf-8").count("<figure id=")
        rows = [
            ["seconds to write it, second pass included", f"{seconds:.1f}"],
            ["the same, of all cores together", f"{cores:.1f}"],
            ["frames shown", str(pictures)],
            ["MB", f"{page.stat().st_size / 1e6:.1f}"],
            ["seconds until it is interactive in Chromium, median of 5", shown],
        ]
    title = f"the page of {options.frames} frames of {options.width}×{options.height}, {SPACE.num_classes} classes"
    print(markdown_table([title, ""], rows))


if __name__ == "__main__":
    main()
