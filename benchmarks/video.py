"""What each frame of a video costs to predict: CPU seconds of reading, network, drawing and encoding, and the whole.

Run from the root: ``python -m benchmarks.video [--frames 250] [--height 227] [--width 320] [--threads N]``. Prints Markdown.
The network is an untrained Unet on EfficientNet-Lite0; the video is generated.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.evaluating import SPACE, configuration
from benchmarks.timing import machine, markdown_table
from datamodules.files.images import resize_mask
from datamodules.files.videos import Video
from datamodules.loading.unlabelled_images import Pictures, collate
from entry import load_run
from entry.builders.modules import build_module
from entry.model import TrainedModel
from entry.video import CPU_PIXELS, predict_video
from reports.overlay_video import overlay_video
from reports.overlays import painted
from run_folder import RunFolder
from tests.videos import make_video

BATCH = 8  # the frames of a batch, by the settings


def frames(count: int, size: tuple[int, int]) -> Iterator[Any]:
    """Yield blurred noise that moves, so that encoding costs what it does for photos."""
    noise = np.random.default_rng(0).integers(0, 256, (size[0], size[1] + count, 3), dtype=np.uint8)
    blurred = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX)
    for number in range(count):
        yield np.ascontiguousarray(blurred[:, number : number + size[1]])


def cpu_milliseconds(act: Callable[[], Any], count: int) -> tuple[float, Any]:
    """Return the CPU time of all threads for each of `count` frames, and the result."""
    began = time.process_time()
    result = act()
    return 1000 * (time.process_time() - began) / count, result


def untrained(folder: Path, size: tuple[int, int], threads: int) -> TrainedModel:
    """Write a run with an untrained network for pictures of (height, width) and open it; 0 `threads`: one a core."""
    typed = [
        "trainer=cpu",
        "model.weights=none",
        f"data.image_size=[{size[0]},{size[1]}]",
        f"data.eval_batch_size={BATCH}",
    ]
    typed += [f"trainer.threads={threads}"] if threads else []
    (folder / "frames").mkdir()  # which the settings name, and nothing reads
    settings = configuration(folder, *typed, model="smp")
    run = RunFolder(folder / "run")
    run.claim(settings.to_yaml(), typed)
    module, _ = build_module(settings, SPACE, "none")
    facts = {"label_space": SPACE.name, "classes": list(SPACE.classes)}
    state = {"state_dict": module.state_dict(), "epoch": 0, "global_step": 0, "hyper_parameters": facts}
    torch.save(state, run.checkpoints / "best.ckpt")
    return load_run(run.path)


def main() -> None:
    """Measure the stages one after the other, then all at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("frames", 250), ("height", 227), ("width", 320), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    size, count = (given.height, given.width), given.frames
    even = (size[0] // 2 * 2, size[1] // 2 * 2)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = untrained(folder, size, given.threads)
        path = make_video(folder / "drive.mp4", frames(count, even))
        predict_video(model, make_video(folder / "warm.mp4", frames(8, even)), folder, "warm", masks=False)
        video = Video(path)
        reading, read = cpu_milliseconds(lambda: [*video.frames()], count)
        pictures = Pictures([frame.image for frame in read], model.size)

        def predict(step: int) -> list[Any]:
            parts = (range(k, min(k + step, count)) for k in range(0, count, step))
            batches = (collate([pictures[i] for i in part])["image"] for part in parts)
            return [mask for batch in batches for mask in model.segment(batch, [""] * len(batch))[0]]

        step = max(1, min(BATCH, CPU_PIXELS // math.prod(model.size)))  # as predict_video has it
        whole_batches, _ = cpu_milliseconds(lambda: predict(BATCH), count)
        network, masks = cpu_milliseconds(lambda: predict(step), count)
        pairs = [(frame, resize_mask(mask, even)) for frame, mask in zip(read, masks, strict=True)]
        drawing, _ = cpu_milliseconds(lambda: [painted(frame.image, mask, SPACE) for frame, mask in pairs], count)

        def encode() -> None:
            with overlay_video(folder / "out.mp4", even, video.rate, video.time_base, SPACE) as write:
                for frame, mask in pairs:
                    write(frame.image, mask, frame.time)

        both, _ = cpu_milliseconds(encode, count)
        began = time.monotonic()
        whole, _ = cpu_milliseconds(lambda: predict_video(model, path, folder, "all", masks=False), count)
        seconds = time.monotonic() - began
    print(f"{machine()}; {size[0]}×{size[1]}, {count} frames\n")
    parts = [("reading", reading), (f"network, {step} at once", network), ("drawing", drawing), ("encoding", both - drawing)]  # fmt: skip
    rows = [*parts, ("all at once", whole), (f"network, {BATCH} at once", whole_batches)]
    print(markdown_table(("stage", "CPU ms a frame"), [(name, f"{value:.1f}") for name, value in rows]))
    total = sum(value for _, value in parts)
    print(
        f"\n{count / seconds:.1f} frames/s here; by arithmetic, two idle cores that share {total:.1f} ms: {2000 / total:.1f}"
    )


if __name__ == "__main__":
    main()
