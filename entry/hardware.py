"""What this machine can do: accelerator, precision and threads."""

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from typing import Any

import torch

from datamodules.files.audit import core_count, core_share
from entry.errors import RequestError
from entry.request import launched
from settings.training import TrainerSettings

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "albumentations", "numpy", "wandb")
OWN_RANKS = "idd-lightning"  # how the id of a run under torch's launcher begins where this command has started it


@dataclass(frozen=True)
class Hardware:
    """What a run computes with."""

    accelerator: str  # cpu, gpu or mps
    device_name: str  # for people
    precision: str  # Lightning's name
    threads: int  # of torch within an operation, in each process
    devices: int = 1  # on each node; a process has one
    nodes: int = 1  # machines that work together

    @property
    def ranks(self) -> int:
        """How many processes share the work."""
        return self.devices * self.nodes


def choose(trainer: TrainerSettings) -> Hardware:
    """Decide what `trainer` leaves open, such as devices and precision. Raises RequestError for what is not there."""
    wanted = trainer.accelerator
    available = torch.cuda.is_available()
    if wanted in ("auto", "gpu") and (available or wanted == "gpu" or shutil.which("nvidia-smi")):
        from entry.gpu_support import check_gpus

        check_gpus(trainer)
    accelerator = "gpu" if available and wanted in ("auto", "gpu") else "cpu"
    if wanted == "mps" or (wanted == "auto" and accelerator == "cpu" and torch.backends.mps.is_available()):
        from entry.gpu_support import check_mps

        accelerator = check_mps(trainer)
    devices, nodes = _devices(trainer.devices, accelerator), trainer.num_nodes
    if launched() or nodes > 1 or "SLURM_JOB_ID" in os.environ:
        from entry.launchers import check_world

        check_world(devices, nodes)
    if trainer.sync_batchnorm and accelerator != "gpu" and devices * nodes > 1:
        raise RequestError(
            "trainer.sync_batchnorm=true: torch's SyncBatchNorm needs GPUs. Type trainer.sync_batchnorm=false."
        )
    precision: str = trainer.precision
    if precision == "auto":
        halves = accelerator == "gpu" and torch.cuda.get_device_capability() >= (7, 0)  # before Volta fp16 is slow
        precision = "bf16-mixed" if has_bf16(accelerator) else "16-mixed" if halves else "32-true"
    name = torch.cuda.get_device_name() if accelerator == "gpu" else platform.processor() or platform.machine()
    threads = trainer.threads or _threads_of_environment() or core_share(devices)
    return Hardware(accelerator, name, precision, threads, devices, nodes)


def _threads_of_environment() -> int | None:
    """The threads that OMP_NUM_THREADS (of nested ones the outermost) or MKL_NUM_THREADS sets, for each process."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", OWN_RANKS)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdecimal() and int(value) > 0 and (run.startswith(OWN_RANKS) or value != "1"):
            return int(value)  # torchrun sets 1 by itself, which nobody has asked for
    return None


def _devices(wanted: int | str, accelerator: str) -> int:
    visible = torch.cuda.device_count() if accelerator == "gpu" else None
    if wanted == "auto":
        return visible or 1
    if visible is not None and int(wanted) > visible:
        raise RequestError(
            f"trainer.devices={wanted}, but {visible} GPU{'s are' if visible != 1 else ' is'} visible to this process. "
            f"Type trainer.devices={visible}, or show it more (CUDA_VISIBLE_DEVICES; in SLURM --gpus-per-node, not --gpus-per-task)."
        )
    return int(wanted)


def has_bf16(accelerator: str) -> bool:
    """Whether the hardware computes in bf16 itself; emulation would be slower than float32."""
    if accelerator != "cpu":
        return accelerator == "gpu" and torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public in torch; absent means no
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def environment(hardware: Hardware) -> dict[str, Any]:
    """Versions and hardware, for environment.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: next((each.version for each in distributions(name=name)), None) for name in PACKAGES},
        **asdict(hardware),
        "cores": core_count(),
        "cuda": torch.version.cuda if hardware.accelerator == "gpu" else None,
    }
