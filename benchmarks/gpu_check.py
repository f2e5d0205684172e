"""What a GPU owner can check in about ten minutes: exactness, determinism, resuming, waiting, memory, speed, counting.

Run from the root: ``make gpu-check``, or ``python benchmarks/gpu_check.py [--device cpu --quick] [--out FOLDER]``. Needs no network. Writes
a page, benchmarks/gpu/<card>.md; the exit code is 1 where a check failed, 2 where there is no GPU.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from benchmarks.gpu_runs import differing, evaluations_agree, killed_and_resumed, run
from benchmarks.gpu_speed import Work, bare, counting, ours
from benchmarks.timing import markdown_table

PACKAGES = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy")
RESNET = ("data=image_folder", "model=resnet18", "optimizer=sgd")
DEEPLAB = ("data=mask_folder", "model=deeplabv3_resnet50", "optimizer=sgd", "loss.auxiliary=0")
FULL = (
    Work("ResNet-18, 224 px, batch 256", 224, 256, 30, 10, 8, False, RESNET),
    Work("DeepLabV3-ResNet-50, 512 px, batch 16", 512, 16, 25, 8, 8, True, DEEPLAB),
)
QUICK = (
    Work("ResNet-18, 32 px, batch 4", 32, 4, 4, 2, 3, False, RESNET),
    Work("DeepLabV3-ResNet-50, 32 px, batch 2", 32, 2, 3, 1, 3, True, DEEPLAB),
)

LOOPS = """
The loops of others follow the reference scripts of torchvision (float32 batches, the loss is read at each step) and of timm (uint8
batches, channels_last); their batches are in memory already, nothing is read or augmented. Steps after the first ones are timed.
"""


@dataclass
class Page:
    """What was found: a row for each check, and tables."""

    checks: list[tuple[str, str, str]] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    def check(self, name: str, found: Callable[[], str]) -> None:
        """Note a check: `found` returns what is wrong, nothing where it passed; what it raises failed it too."""
        began = time.monotonic()
        try:
            wrong = found()
        except Exception as error:  # noqa: BLE001  the other checks go on
            wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        self.checks.append((name, "failed" if wrong else "passed", wrong or f"{time.monotonic() - began:.0f} s"))
        print(*self.checks[-1], sep="  ", flush=True)

    @property
    def failed(self) -> bool:
        """Whether a check has failed."""
        return any(result == "failed" for _, result, _ in self.checks)


def make_images(root: Path, work: Work, count: int) -> Path:
    """Write pictures of noise as JPEG, in folders of classes, or with masks."""
    for i in range(count):
        draws = np.random.default_rng(i)
        coarse = draws.integers(0, 256, (work.side // 8, work.side // 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((work.side, work.side), Image.Resampling.BILINEAR)
        place = root / ("images" if work.segments else str(i % work.classes)) / f"{i:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.save(place)
        if work.segments:
            (root / "masks").mkdir(exist_ok=True)
            blocks = Image.fromarray(draws.integers(0, work.classes, (work.side // 8, work.side // 8)).astype(np.uint8))
            blocks.resize((work.side, work.side), Image.Resampling.NEAREST).save(root / "masks" / f"{i:05}.png")
    return root


def runs(page: Page, folder: Path, device: str, *, quick: bool) -> None:
    """Check whole runs: that they repeat, that evaluations agree, and that one that was killed goes on bit for bit."""
    work = Work("", 32 if quick else 96, 8, 0, 0, 3, False, ())
    images = make_images(folder / "pictures", work, 72 if quick else 600)
    typed = ("data=image_folder", f"data.root={images}", "model=resnet18", "model.weights=none", f"data.image_size=[{work.side},{work.side}]",
             f"trainer={device}", "trainer.deterministic=true", "trainer.max_epochs=2", "logger=csv", "report.html=false", "data.batch_size=8",
             "aug=flip_rotate", "data.num_workers=1", f"data.cache_dir={folder / 'cache'}", "checkpointing.every_n_steps=3")  # fmt: skip
    first, again, killed = (folder / name for name in ("first", "again", "killed"))

    def repeats() -> str:
        for place in (first, again):
            run("train", *typed, f"hydra.run.dir={place}")
        return ", ".join(differing(first, again)[:3])

    def resumes() -> str:
        killed_and_resumed(killed, typed)
        return ", ".join(differing(first, killed)[:3])

    page.check("determinism: two trainings have the same weights, bit for bit", repeats)
    page.check("exactness: three evaluations of one run have the same figures", lambda: evaluations_agree(first))
    page.check("resume: a run that was killed and resumed has the same weights, bit for bit", resumes)


def speeds(page: Page, folder: Path, device: str, works: tuple[Work, ...]) -> None:
    """Measure training loops in bf16 and fp16, from memory and from disk; check that a step waits for nothing."""
    for number, work in enumerate(works):
        images = make_images(folder / f"speed{number}", work, work.batch * (work.steps + 2))
        typed = () if not work.segments else (f"data.classes=[{','.join(f'c{i}' for i in range(work.classes))}]",)
        place, rows = folder / f"speed{number}_run", []
        for precision in ("bf16-mixed", "16-mixed") if device == "gpu" else ("bf16-mixed",):
            ways = {"torchvision's loop": bare(work, device, precision, like_timm=False)}
            ways["timm's loop"] = bare(work, device, precision, like_timm=True)
            ways["idd-lightning, from memory"] = ours(work, images, place, device, precision, *typed, "data.cache=true")
            ways["idd-lightning, from disk"] = ours(work, images, place, device, precision, *typed, "data.cache=false")
            if device == "gpu" and precision == "bf16-mixed" and not work.segments:
                more = (*typed, "data.cache=true", "trainer.compile=true")
                ways["idd-lightning, from memory, trainer.compile=true"] = ours(
                    work, images, place, device, precision, *more
                )
            of = ways["timm's loop"]
            for name, found in ways.items():
                memory = (
                    (f"{found.memory / 2**20:.0f} MiB", f"{found.memory / of.memory:.2f}") if of.memory else ("", "")
                )
                rows.append(
                    (
                        f"{precision}, {name}",
                        f"{found.rate:.4g}",
                        f"{found.rate / of.rate:.2f}",
                        *memory,
                    )
                )
        header = (work.name, "images/s", "of timm's", "peak memory", "of timm's")
        page.tables.append(markdown_table(header, rows))
        if device == "gpu":
            page.check(
                f"no step of {work.name} waits for the GPU (set_sync_debug_mode)",
                lambda work=work, images=images, place=place, typed=typed: (
                    ours(work, images, place, device, "bf16-mixed", *typed, "data.cache=true", strict=True) and ""
                ),
            )


def counts(page: Page, device: str, size: tuple[int, int]) -> None:
    """Measure counting against torchmetrics, and check that both count the same."""
    seconds: dict[str, float] = {}

    def agree() -> str:
        found, same = counting(device, size)
        seconds.update(found)
        return "" if same else "the matrices differ"

    page.check("counting: the confusion matrix is torchmetrics'", agree)
    rows = [(name, f"{1000 * value:.2f}") for name, value in seconds.items()]
    page.tables.append(markdown_table((f"counting a pair of masks, {size[1]}×{size[0]}, 26 classes", "ms"), rows))


def text(page: Page, card: str, device: str, seconds: float) -> str:
    """Return the page as Markdown."""
    driver = f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if device == "gpu" else ""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return "\n".join(
        (
            f"# {card}\n",
            f"`python {' '.join(sys.argv)}`, {date.today().isoformat()}, {seconds / 60:.1f} minutes. Python {platform.python_version()}, {versions}{driver}.\n",
            markdown_table(("check", "result", "detail"), page.checks),
            LOOPS,
            "\n\n".join(page.tables),
            "",
        )
    )


def main() -> int:
    """Check, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script itself")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "gpu", help="the folder of the page")
    arguments = parser.parse_args()
    if arguments.device == "gpu" and not torch.cuda.is_available():
        print("torch sees no GPU on this machine. To try the script itself: --device cpu --quick", file=sys.stderr)
        return 2
    card = torch.cuda.get_device_name() if arguments.device == "gpu" else f"CPU {platform.machine()}"
    page, began = Page(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        runs(page, Path(name), arguments.device, quick=arguments.quick)
        counts(page, arguments.device, (108, 192) if arguments.quick else (1080, 1920))
        speeds(page, Path(name), arguments.device, QUICK if arguments.quick else FULL)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{re.sub(r'[^A-Za-z0-9]+', '_', card)}.md"
    path.write_text(text(page, card, arguments.device, time.monotonic() - began), encoding="utf-8")
    print(path)
    return int(page.failed)


if __name__ == "__main__":
    sys.exit(main())
