"""data.batch_size=auto: the largest that a GPU has memory for, found by steps that are tried before a run begins."""

import copy
import gc
from dataclasses import replace

import torch

from datamodules.loading.dataset import SampleKey, collate
from entry import hardware
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.request import Request
from entry.run import Run, assemble
from entry.steps import TrainingSteps
from run_folder import RunFolder

MEMORY_LIMITED = ("gpu",)  # accelerators whose memory is what limits a batch
SHARE = 0.9  # of a GPU's memory that a tried step may take: gradients of several processes and fragments need the rest
SMALLEST = 2  # BatchNorm cannot learn from a single sample


def fitted(request: Request) -> Request:
    """Return a request with the largest batch size that fits: a power of two × devices × accumulation. Raises RequestError."""
    settings = resolved(_with_size(request, _accumulate(request) * SMALLEST))
    machine = hardware.choose(settings.trainer)
    if machine.accelerator not in MEMORY_LIMITED:
        raise RequestError(
            f"data.batch_size=auto finds what fits into a GPU, and this run is on {machine.accelerator}, where memory is not what "
            "limits it. Type a number, such as data.batch_size=32."
        )
    pieces = machine.ranks * settings.trainer.accumulate
    settings = resolved(_with_size(request, pieces * SMALLEST))
    run = assemble(RunFolder(request.folder), settings, "none", allow=request.allow)
    samples = len(run.datamodule.table.indices("train"))
    found = largest(run, max(SMALLEST, samples // pieces))
    print(
        f"data.batch_size=auto: {found * pieces}" + (f" ({found} on each device, in each part)" if pieces > 1 else "")
    )
    return _with_size(request, found * pieces)


def largest(run: Run, most: int) -> int:
    """Return the largest power of two, up to `most`, of samples that a training step of a run fits for. Raises RequestError."""
    steps = TrainingSteps(run)
    on_gpu = steps.fabric.device.type == "cuda"
    if on_gpu:
        torch.cuda.set_per_process_memory_fraction(SHARE)
    size = 0
    while max(SMALLEST, 2 * size) <= most and _fits(steps, max(SMALLEST, 2 * size)):
        size = max(SMALLEST, 2 * size)
    if on_gpu:
        torch.cuda.set_per_process_memory_fraction(1.0)
    if not size:
        raise RequestError(
            f"data.batch_size=auto: not even {SMALLEST} images fit into the GPU's memory. Type a smaller data.image_size or model."
        )
    return size


def _fits(steps: TrainingSteps, size: int) -> bool:
    """Whether two steps fit: the optimiser has its state from the first one on."""
    dataset = steps.run.datamodule.training_dataloader(0).dataset
    item = dataset[SampleKey(0, steps.run.datamodule.indices("train")[0])]
    try:
        batch = steps.fabric.to_device(collate([item] * size))
        for _ in range(2):
            steps.train_on(batch)
        fits = True
    except torch.OutOfMemoryError:
        fits = False
    steps.optimizer.zero_grad()
    gc.collect()
    if steps.fabric.device.type == "cuda":
        torch.cuda.empty_cache()
    return fits


def _accumulate(request: Request) -> int:
    value = request.config.trainer.accumulate
    return value if type(value) is int and value > 0 else 1  # what else is typed is refused with the other settings


def _with_size(request: Request, size: int) -> Request:
    config = copy.deepcopy(request.config)
    config.data.batch_size = size
    return replace(request, config=config)
