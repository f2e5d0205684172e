"""Where the time of a training step goes: a few steps, timed phase by phase, and a trace of them."""

import contextlib
import itertools
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median, mode

import torch
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as torch_profile
from torch.utils.flop_counter import FlopCounterMode

from entry import console, hardware
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.request import Request, launched
from entry.run import Run, opened
from entry.steps import TrainingSteps
from run_folder import write_json

WARM_UP, TIMED, TRACED = 2, 6, 2  # steps
PHASES = ("load", "transfer", "forward", "backward", "optimiser", "evaluate")


class TimedSteps(TrainingSteps):
    """A run's training steps, one phase after the other; the device has finished each before the next begins.

    Lightning's trainer overlaps the phases, so that a training takes less than their sum.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
        self.batches = itertools.chain.from_iterable(map(run.datamodule.training_dataloader, itertools.count()))

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is done inside, and mark it in a trace."""
        began = time.perf_counter()
        with record_function(name):
            yield
            if self.fabric.device.type != "cpu":
                torch.accelerator.synchronize()
        self.seconds[name].append(time.perf_counter() - began)

    def step(self) -> int:
        """Take a training step on the next batch, and evaluate it too. Returns its number of images."""
        module = self.run.module
        with self.phase("load"):
            batch = next(self.batches)
        with self.phase("transfer"):
            batch = self.fabric.to_device(batch)
        self.train_on(batch)
        with self.phase("evaluate"), torch.no_grad(), self.fabric.autocast():
            module.eval()
            module.evaluate_batch(batch, "val")
            module.train()
        module.reset_stream("val")
        return len(batch["index"])

    def flops(self) -> tuple[float, float]:
        """Return the floating-point operations of an image: forward, and forward and backward; a multiply-add is two."""
        batch = self.fabric.to_device(next(self.batches))
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            self.model(batch["image"])
        with FlopCounterMode(display=False) as both:
            self.train_on(batch)
        count = len(batch["index"])
        return forward.get_total_flops() / count, both.get_total_flops() / count

    def peak_memory(self) -> int:
        """Return the most bytes that were in use so far: of a GPU, else of this process."""
        if self.fabric.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@dataclass(frozen=True)
class Profile:
    """What profile.json holds; seconds are medians of a batch's."""

    parameters: int
    trainable_parameters: int
    forward_flops_per_image: float
    training_flops_per_image: float
    peak_memory_bytes: int
    batch_size: int
    steps: int
    seconds: dict[str, float]
    images_per_second: dict[str, float]
    loader_workers: int


def profile(request: Request) -> None:
    """Measure a few steps of the training that is requested, in a run folder of its own. Raises RequestError for misfits."""
    if request.keys.resume:
        raise RequestError("profile=true measures the first steps of a training; leave resume= out.")
    if launched():
        raise RequestError("profile=true measures one process; start it without torchrun or srun.")
    settings = resolved(request)
    if (ranks := hardware.choose(settings.trainer).ranks) > 1:
        raise RequestError(f"profile=true measures one device, not {ranks}: type trainer.devices=1.")
    with opened(request, settings) as (run, _):
        console.announce(run)
        found = measure(run)
    _print(found)
    print(run.folder.path, flush=True)


def measure(run: Run) -> Profile:
    """Time some of a run's training steps, and write profile/profile.json and profile/trace.json.gz into its folder."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's tracer prints notes of its own otherwise
    folder, steps = run.folder.path / "profile", TimedSteps(run)
    folder.mkdir()
    for _ in range(WARM_UP):
        steps.step()
    steps.seconds = {phase: [] for phase in PHASES}
    sizes = [steps.step() for _ in range(TIMED)]
    seconds = {phase: median(values) for phase, values in steps.seconds.items()}
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if steps.fabric.device.type == "cuda" else [])]
    with torch_profile(activities=activities) as trace:
        for _ in range(TRACED):
            steps.step()
    trace.export_chrome_trace(str(folder / "trace.json.gz"))
    peak, (forward, training) = steps.peak_memory(), steps.flops()
    weights, size = list(run.module.network.parameters()), mode(sizes)
    found = Profile(
        parameters=sum(weight.numel() for weight in weights),
        trainable_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
        forward_flops_per_image=forward,
        training_flops_per_image=training,
        peak_memory_bytes=peak,
        batch_size=size,
        steps=TIMED,
        seconds=seconds,
        images_per_second={phase: size / value for phase, value in seconds.items()},
        loader_workers=run.datamodule.training_dataloader(0).num_workers,
    )
    write_json(folder / "profile.json", asdict(found))
    return found


def _print(found: Profile) -> None:
    print(
        f"{found.parameters / 1e6:.2f} M parameters ({found.trainable_parameters / 1e6:.2f} M trained), "
        f"{found.forward_flops_per_image / 1e9:.3f} GFLOPs an image forward, {found.training_flops_per_image / 1e9:.3f} in training, "
        f"peak memory {found.peak_memory_bytes / 2**20:.0f} MiB, batches of {found.batch_size}"
    )
    for phase, seconds in found.seconds.items():
        print(f"{phase:<10} {1000 * seconds:9.1f} ms a batch {found.images_per_second[phase]:10.1f} images/s")
    computed = sum(found.seconds[phase] for phase in ("transfer", "forward", "backward", "optimiser"))
    loading = found.seconds["load"]
    print(
        f"{'step':<10} {1000 * computed:9.1f} ms a batch {found.batch_size / computed:10.1f} images/s without loading, "
        f"which {found.loader_workers or 'no'} processes do meanwhile ({1000 * loading:.1f} ms waited for)"
    )
    print("trace: profile/trace.json.gz, to open in https://ui.perfetto.dev or chrome://tracing")
