"""What this machine can do: accelerator, precision and threads."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch

from entry.errors import RequestError

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "albumentations", "numpy", "wandb")


@dataclass(frozen=True)
class Hardware:
    """What a run computes with.

    Args:
        accelerator: ``cpu`` or ``gpu``.
        device_name: for people.
        precision: Lightning's name.
        threads: of torch within an operation.
    """

    accelerator: str
    device_name: str
    precision: str
    threads: int


def choose(trainer: Mapping[str, Any]) -> Hardware:
    """Decide what `trainer.accelerator`, `.precision` and `.threads` leave open. Raises RequestError for what is not there."""
    wanted = trainer["accelerator"]
    if wanted not in ("auto", "cpu", "gpu"):
        raise RequestError(f"trainer.accelerator={wanted}: must be auto, cpu or gpu.")
    available = torch.cuda.is_available()
    if wanted == "gpu" and not available:
        raise RequestError(
            "trainer.accelerator=gpu: torch sees no GPU on this machine. Use trainer=cpu, or install torch with CUDA support."
        )
    accelerator = "gpu" if available and wanted != "cpu" else "cpu"
    precision = trainer["precision"]
    if precision == "auto":
        precision = "bf16-mixed" if has_bf16(accelerator) else "32-true"
    known = ("32-true", "bf16-mixed", "bf16-true", "16-mixed", "64-true")
    if str(precision) not in known:
        raise RequestError(f"trainer.precision={precision}: must be auto or one of {', '.join(known)}.")
    name = torch.cuda.get_device_name() if accelerator == "gpu" else platform.processor() or platform.machine()
    return Hardware(accelerator, name, str(precision), trainer["threads"] or usable_cores())


def has_bf16(accelerator: str) -> bool:
    """Whether the hardware computes in bf16 itself; emulation would be slower than float32."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public in torch; absent means no
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def usable_cores() -> int:
    """The cores that this process may use: fewer than the machine has, under a batch system or taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(hardware: Hardware) -> dict[str, Any]:
    """Versions and hardware, for environment.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        **asdict(hardware),
        "cores": usable_cores(),
        "cuda": torch.version.cuda if hardware.accelerator == "gpu" else None,
    }
