"""Writing the dataset in IDD's layout, once; the same request gives the same bytes."""

import hashlib
import json
import shutil
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from datamodules.files.audit import core_count, only_maker
from datamodules.synthetic.render import render
from datamodules.synthetic.street import Drive

VERSION = 3  # raise it whenever the same request would give other bytes
DRIVES = 240
FRAMES_PER_DRIVE = 2
SIZES = ((360, 640), (360, 640), (480, 640))  # (height, width) of successive drives; IDD mixes sizes too
JPEG_QUALITY = 92
SMALL = 40  # frames: up to here drawing takes less time than starting processes


def ensure(root: Path, *, seed: int = 0, drives: int = DRIVES, frames_per_drive: int = FRAMES_PER_DRIVE) -> Path:
    """Return the folder `root/<hash of VERSION and the request>`, complete: if missing, one process makes it."""
    request = {"version": VERSION, "seed": seed, "drives": drives, "frames_per_drive": frames_per_drive}
    name = hashlib.blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=6).hexdigest()
    folder = root / name
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with only_maker(folder, folder.is_dir):
        if not folder.is_dir():
            temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=root))
            temporary.chmod(0o755)
            generate(temporary, seed=seed, drives=drives, frames_per_drive=frames_per_drive)
            (temporary / "request.json").write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
            try:
                temporary.rename(folder)
            except OSError:  # another process may have made it, if this one was stopped for long
                if not folder.is_dir():
                    raise
                shutil.rmtree(temporary)
    return folder


def generate(root: Path, *, seed: int, drives: int, frames_per_drive: int) -> None:
    """Write `drives` drives of `frames_per_drive` frames below `root`, nine in ten of them as train, the rest as val."""
    write = partial(write_drive, root, seed, drives=drives, frames=frames_per_drive)
    workers = min(4, core_count())
    # Spawned, not forked: the parent may have threads of torch.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        alone = workers == 1 or drives * frames_per_drive <= SMALL
        written = map(write, range(drives)) if alone else pool.map(write, range(drives))
        title = f"Drawing the synthetic streets ({drives} drives)"
        try:
            for _ in track(written, title, total=drives, console=Console(stderr=True), transient=True):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_drive(root: Path, seed: int, number: int, drives: int, frames: int) -> None:
    """Draw one drive and write its images and polygon files; they depend on nothing but the arguments."""
    cv2.setNumThreads(1)
    drive = Drive(np.random.default_rng([seed, number]), SIZES[number % len(SIZES)], frames)
    split = "val" if number >= round(0.9 * drives) else "train"
    folder = f"{split}/{number:03d}"
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / folder).mkdir(parents=True)
    for frame in range(frames):
        image, annotation = render(drive, frame, np.random.default_rng([seed, number, frame]))
        stem = f"frame{frame * 15:04d}"
        path = root / "leftImg8bit" / folder / f"{stem}_leftImg8bit.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise OSError(f"{path}: the image cannot be written")
        polygons = json.dumps(annotation, separators=(",", ":"))
        (root / "gtFine" / folder / f"{stem}_gtFine_polygons.json").write_text(polygons, encoding="utf-8")
