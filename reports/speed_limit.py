"""What limited the speed of a training, the loader or the device, from the rows of timing.csv."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from settings.run import RunSettings

SLIGHT = 0.1  # the share of waiting below which nothing is to be gained from reading faster
LARGE = 0.5  # and from which on reading is what takes the time


class SpeedLimit(NamedTuple):
    """What limited a training: ``loader`` or ``device``, the seconds of all steps, those that waited for images, and a sentence."""

    by: str
    steps: float
    waited: float
    text: str

    @property
    def share(self) -> float:
        """The part of the steps' time that waited for images."""
        return self.waited / self.steps


def speed_limit(
    timing: Sequence[Mapping[str, str]], environment: Mapping[str, Any], settings: RunSettings
) -> SpeedLimit | None:
    """Return what limited a training by its timing.csv, environment.json and config.yaml; None where that is unknown."""
    steps = sum(float(row["steps"]) for row in timing)
    if not steps:
        return None
    # Where a GPU measured its own idleness that counts: it computes during a part of the time that the process waits.
    waited = min(steps, sum(float(row.get("idle") or row["waited"]) for row in timing))
    accelerator, share = environment.get("accelerator", "cpu"), waited / steps
    by = "loader" if share >= LARGE else "device"
    keys = ([] if share < SLIGHT else _for_loader(timing[-1], environment, settings)) or ["more cores for the loader"]
    if by == "device":
        keys = [*(keys if share >= SLIGHT else ()), *_for_device(accelerator, environment, settings)]
    most = "at most " if accelerator != "cpu" and not timing[-1].get("idle") else ""
    name = by if by == "loader" else f"device ({accelerator})"
    text = (
        f"{name}: of {steps:.1f} s of training steps {most}{waited:.1f} s waited for images ({share:.0%}), "
        f"{steps - waited:.1f} s computed. What would help: {', '.join(keys)}"
    )
    return SpeedLimit(by, steps, waited, text)


def _for_loader(row: Mapping[str, str], environment: Mapping[str, Any], settings: RunSettings) -> list[str]:
    keys = []
    if row.get("cached", "0") == "0" and settings.data.cache is not True:
        keys.append("data.cache=true")
    workers, cores = row.get("workers"), int(environment.get("cores") or 1) // int(environment.get("devices") or 1)
    if workers and int(workers) < cores - 1:
        keys.append(f"data.num_workers={cores - 1} (now {workers})")
    if settings.data.load_size:
        keys.append("a smaller data.load_size")
    if settings.aug.transform is not None:
        keys.append("a simpler aug")
    return keys


def _for_device(accelerator: str, environment: Mapping[str, Any], settings: RunSettings) -> list[str]:
    keys = ["trainer.precision=auto"] if environment.get("precision") == "32-true" and accelerator == "gpu" else []
    if not settings.trainer.channels_last:
        keys.append("trainer.channels_last=true")
    further = ["a GPU"] if accelerator == "cpu" else ["trainer.devices=auto where there are more GPUs"]
    return [*keys, "a smaller data.image_size or model", *(further if accelerator != "mps" else ())]
