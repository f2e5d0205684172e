"""What this machine can do: accelerator, precision and threads."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch

from datamodules.files.audit import core_count, core_share
from entry.errors import RequestError
from entry.request import STRAY, launched, world_size
from settings.training import TrainerSettings

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "albumentations", "numpy", "wandb")
OWN_RANKS = "idd-lightning"  # how the id of a run under torch's launcher begins where this command has started it


@dataclass(frozen=True)
class Hardware:
    """What a run computes with."""

    accelerator: str  # cpu or gpu
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
    if wanted == "gpu" and not available:
        value = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if value is None else f" (CUDA_VISIBLE_DEVICES={value!r} may hide it)"
        raise RequestError(
            f"trainer.accelerator=gpu: torch sees no GPU on this machine{hidden}. Use trainer=cpu, or install torch with CUDA support."
        )
    accelerator = "gpu" if available and wanted != "cpu" else "cpu"
    devices, nodes = _devices(trainer.devices, accelerator), trainer.num_nodes
    _check_world(devices, nodes)
    if trainer.sync_batchnorm and accelerator == "cpu" and devices * nodes > 1:
        raise RequestError(
            "trainer.sync_batchnorm=true: torch's SyncBatchNorm needs GPUs. Type trainer.sync_batchnorm=false."
        )
    precision: str = trainer.precision
    if precision == "auto":
        precision = "bf16-mixed" if has_bf16(accelerator) else "32-true"
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
            f"Type trainer.devices={visible}, or show it more (CUDA_VISIBLE_DEVICES)."
        )
    return int(wanted)


def _check_world(devices: int, nodes: int) -> None:
    """Refuse to start where the launcher's processes and the configuration's are not the same number."""
    if launched() and world_size() != devices * nodes:
        raise RequestError(
            f"The launcher started {world_size()} processes, but trainer.devices × trainer.num_nodes is {devices} × {nodes} = "
            f"{devices * nodes}. Make the two numbers equal. {STRAY}"
        )
    if nodes > 1 and not launched():
        raise RequestError(
            f"trainer.num_nodes={nodes}: start one process per device with torchrun, on each node: "
            f"torchrun --nnodes={nodes} --nproc-per-node={devices} --node-rank=N --master-addr=HOST --master-port=29500 train.py …"
        )


def has_bf16(accelerator: str) -> bool:
    """Whether the hardware computes in bf16 itself; emulation would be slower than float32."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public in torch; absent means no
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def environment(hardware: Hardware) -> dict[str, Any]:
    """Versions and hardware, for environment.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        **asdict(hardware),
        "cores": core_count(),
        "cuda": torch.version.cuda if hardware.accelerator == "gpu" else None,
    }
