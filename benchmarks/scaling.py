"""What a training step moves at 8, 64 and 512 GPUs, modelled; how batches are dealt to 64 ranks and what reading costs, measured.

Run from the root: ``python benchmarks/scaling.py`` prints the tables of docs/SCALING.md that follow from the parameters below,
``python benchmarks/scaling.py --measure`` those that depend on the machine. Both are Markdown.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ranks import dealing, reading
from benchmarks.timing import machine, markdown_table

# NVIDIA's data sheet of the A100 80 GB SXM: bf16 on tensor cores; 600 GB/s of NVLink are 300 in each direction.
PEAK = 312e12  # floating-point operations per second
NVLINK = 300e9  # bytes per second in a direction
NETWORKS = {"100 Gbit/s": 12.5e9, "200 Gbit/s": 25e9}  # bytes per second in a direction, of a node
# NVIDIA DeepLearningExamples, ResNet-50 v1.5 for PyTorch, DGX A100 80 GB, mixed precision, one GPU.
RESNET50_PER_SECOND = 2470  # images of 224²
REACHED = 0.8  # part of a link's figure that an all-reduce gets: an assumption
HOP = 10e-6  # seconds of latency of each of a ring's steps: an assumption
DISKS = {"1 GB/s": 1e9, "0.1 GB/s": 1e8}  # of a parallel file system with room, and of a busy one: assumptions
PER_NODE = 8  # GPUs
GPUS = (8, 64, 512)
GOALS = (0.8, 0.5)  # efficiencies
# IDD Part I has 6,993 training and 981 validation frames, ImageNet-1k 1,281,167 training images.
FRAMES, VALIDATED, IMAGES = 6993, 981, 1_281_167
EVAL_BATCH = 2  # frames, conf/data/idd.yaml

# By source: bytes of a sample's files (IDD Part I: 18.5 GB of PNG for 10,004 frames; a JPEG of 0.5 MB is assumed; ImageNet: 138 GB)
# or of its rows in a cache, and milliseconds of a core to read, resize and draw it, rounded from what `--measure` prints.
READING = {
    "frames, PNG 1920×1080": (1.85e6, 53.0),
    "frames, JPEG 1920×1080": (0.5e6, 32.0),
    "frames, cached": (540 * 960 * 4, 0.5),
    "photos, JPEG 500×375": (0.11e6, 2.6),
    "photos, cached": (224 * 224 * 3, 0.06),
}


@dataclass(frozen=True)
class Work:
    """A network and what a device gets of it at a step."""

    name: str
    size: tuple[int, int]  # (height, width) in pixels
    batch: int  # samples per device
    samples: int  # of an epoch
    aux: bool = False

    @cached_property
    def counted(self) -> tuple[int, int, int]:
        """Parameters, and floating-point operations of a sample: forward, and forward and backward."""
        options: dict[str, Any] = {"aux_loss": True, "weights_backbone": None} if self.aux else {}
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            network = get_model(self.name, weights=None, **options)
            found = network(torch.empty(2, 3, *self.size))  # BatchNorm needs two
            forward = counter.get_total_flops()
            sum(each.sum() for each in (found.values() if self.aux else [found])).backward()
        return sum(each.numel() for each in network.parameters()), forward // 2, counter.get_total_flops() // 2

    @property
    def gradient(self) -> int:
        """Bytes of the gradients: float32, in bf16-mixed too."""
        return 4 * self.counted[0]

    def compute(self, batch: int | None = None) -> float:
        """Seconds in which a device computes a step."""
        return (batch or self.batch) * self.counted[2] / sustained()

    def smallest(self, gpus: int, network: float, goal: float) -> int:
        """Samples per device with which a step that sends after computing reaches an efficiency."""
        return math.ceil(all_reduce(self.gradient, gpus, network) * goal / (1 - goal) / self.compute(1))


WORKS = (
    Work("resnet18", (224, 224), 64, IMAGES),
    Work("deeplabv3_resnet50", (540, 960), 4, FRAMES, aux=True),
    Work("deeplabv3_resnet101", (540, 960), 4, FRAMES, aux=True),
)


@cache
def sustained() -> float:
    """Operations per second of a card in training: what ResNet-50 is published to reach on it."""
    return RESNET50_PER_SECOND * Work("resnet50", (224, 224), 1, 1).counted[2]


def all_reduce(size: float, gpus: int, network: float) -> float:
    """Seconds of a ring all-reduce of so many bytes: its slowest link is that between nodes, where there are several."""
    link = NVLINK if gpus <= PER_NODE else min(NVLINK, network)
    return 2 * (gpus - 1) / gpus * size / (REACHED * link) + 2 * (gpus - 1) * HOP


def efficiency(work: Work, gpus: int, network: float) -> tuple[float, float]:
    """Parts of the time in which devices compute: sending after computing, and during the backward pass (two thirds of it)."""
    compute, send = work.compute(), all_reduce(work.gradient, gpus, network)
    return compute / (compute + send), compute / (compute + max(0.0, send - compute * 2 / 3))


def links(gpus: int) -> dict[str, float]:
    """The links that limit an all-reduce of so many GPUs."""
    return NETWORKS if gpus > PER_NODE else {"NVLink": NVLINK}


def modelled() -> dict[str, str]:
    """The tables that follow from the parameters alone, by a name."""
    moves = [
        (w.name, f"{w.counted[0]:,}", f"{w.gradient / 1e6:.1f}", f"{w.size[0]}×{w.size[1]}", f"{w.counted[2] / 1e9:.1f}",
         f"{w.batch}", f"{1e3 * w.compute():.0f}")
        for w in WORKS
    ]  # fmt: skip
    steps = [
        (w.name, f"{gpus}", link, f"{1e3 * all_reduce(w.gradient, gpus, speed):.1f}",
         *(f"{100 * each:.0f} %" for each in efficiency(w, gpus, speed)),
         *(f"{w.smallest(gpus, speed, goal)}" for goal in GOALS))
        for w in WORKS for gpus in GPUS for link, speed in links(gpus).items()
    ]  # fmt: skip
    epochs = [
        (w.name, f"{gpus}", f"{gpus * w.batch:,}", f"{w.samples / (gpus * w.batch):,.1f}", f"{w.samples / (gpus * w.batch) * w.compute():,.1f}")
        for w in WORKS for gpus in GPUS
    ]  # fmt: skip
    return {
        "moves": markdown_table(("network", "parameters", "gradients, MB", "image", "GFLOP a sample", "samples a device", "compute, ms"), moves),
        "steps": markdown_table(
            ("network", "GPUs", "slowest link", "all-reduce, ms", "computing, sent after", "sent during backward",
             "samples a device for 80 %", "for 50 %"), steps),
        "epochs": markdown_table(("network", "GPUs", "data.batch_size", "steps an epoch", "seconds an epoch, computing"), epochs),
        "loading": loading(),
        "around": around(),
    }  # fmt: skip


def loading() -> str:
    """What a node of eight GPUs reads at full speed."""
    rows = []
    for source, (size, cost) in READING.items():
        for work in WORKS:
            if work.aux == source.startswith("frames"):
                rate = PER_NODE * work.batch / work.compute()
                cores = rate * cost / 1e3
                rows.append((work.name, source, f"{rate:,.0f}", f"{rate * size / 1e6:,.0f}", f"{cores:,.1f}"))
    return markdown_table(("network", "samples from", "samples/s a node", "MB/s a node", "cores a node"), rows)


def around() -> str:
    """Checkpoints of Adam (weights and two moments in float32), and a validation of IDD's frames at 1920×1080."""
    rows = []
    for work in WORKS:
        size = 12 * work.counted[0]
        validation = ["–"] * len(GPUS)
        if work.aux:
            frame = Work(work.name, (1080, 1920), 1, 1, aux=True).counted[1] / sustained()
            rounds = [math.ceil(math.ceil(VALIDATED / EVAL_BATCH) / gpus) for gpus in GPUS]
            validation = [f"{each * EVAL_BATCH * frame:.1f} ({each})" for each in rounds]
        written = (f"{size / speed:.2f}" for speed in DISKS.values())
        rows.append((work.name, f"{size / 1e6:,.0f}", *written, *validation))
    disks = (f"s at {disk}" for disk in DISKS)
    gpus = (f"validation on {gpus} GPUs, s (rounds)" for gpus in GPUS)
    return markdown_table(("network", "checkpoint, MB", *disks, *gpus), rows)


def main() -> None:
    """Print the tables that are requested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure on this machine, in place of the model")
    if not parser.parse_args().measure:
        share = sustained() / PEAK
        print(f"Sustained: {sustained() / 1e12:.1f} TFLOP/s, {100 * share:.1f} % of the peak.\n")
        print("\n\n".join(modelled().values()))
        return
    print(machine(("torch", "numpy", "opencv-python-headless", "pillow")), end="\n\n")
    print(reading({source: cost for source, (_, cost) in READING.items()}), end="\n\n", flush=True)
    print(dealing({256: FRAMES}, (1, 2, 4, 8, 16, 32, 64)), end="\n\n", flush=True)
    print(dealing({16384: IMAGES}, (1, 64)))


if __name__ == "__main__":
    main()
