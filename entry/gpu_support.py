"""Whether torch can use the GPUs that the driver shows; imported only where there may be some."""

import os
import re
import shutil
import subprocess

import torch

from entry.errors import RequestError
from settings.training import TrainerSettings

INSTALL = (
    "Set up one that fits (docs/INSTALL.md): make setup TORCH=cu126 TORCH_INDEX=URL for older cards and drivers, TORCH=system for "
    "the one that the system has, TORCH=pinned for recent cards"
)


def check_gpus(trainer: TrainerSettings) -> None:
    """Raise RequestError where a GPU is wanted and torch finds none, or where it cannot use one that is there.

    A CUDA_VISIBLE_DEVICES that names no GPU hides them: then the CPU is no surprise.
    """
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        for index in range(count if trainer.devices == "auto" else min(count, trainer.devices)):
            major, minor = torch.cuda.get_device_capability(index)
            arches = torch.cuda.get_arch_list()
            if not has_kernels((major, minor), arches):
                why = f"it has compute capability {major}.{minor}, and this torch has kernels for {', '.join(arches)}"
                raise _unusable(f"{torch.cuda.get_device_name(index)}, {_driver()}", why)
        return
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = value is not None and re.match(r"\s*(\d|GPU-|MIG-)", value) is None
    shown = [] if hidden else _shown()
    if shown:
        cards = f"{shown[0][0]}, driver {shown[0][1]}"
        raise _unusable(cards, _reason() if value is None else f"{_reason()}; CUDA_VISIBLE_DEVICES={value}")
    if trainer.accelerator == "gpu":
        found = "" if value is None else f" (CUDA_VISIBLE_DEVICES={value!r} may hide it)"
        raise RequestError(
            f"trainer.accelerator=gpu: torch sees no GPU on this machine{found}. Use trainer=cpu, or install torch with CUDA support."
        )


def check_mps(trainer: TrainerSettings) -> str:
    """Return the name of Apple's accelerator. Raises RequestError where it is not there, or cannot do what is requested."""
    if not torch.backends.mps.is_available():
        raise RequestError(
            "trainer.accelerator=mps: torch sees no Apple GPU on this machine (macOS on Apple silicon has one). Type trainer=cpu."
        )
    if trainer.devices not in (1, "auto") or trainer.num_nodes > 1:
        raise RequestError(
            "trainer.accelerator=mps: there is one Apple GPU. Type trainer.devices=1, or trainer=ddp_cpu."
        )
    if trainer.precision == "64-true":
        raise RequestError(
            "trainer.precision=64-true: Apple's GPUs have no float64. Type trainer.precision=32-true, or trainer=cpu."
        )
    return "mps"


def has_kernels(capability: tuple[int, int], arches: list[str]) -> bool:
    """Whether a build of torch for some architectures (`torch.cuda.get_arch_list`) runs on a compute capability.

    Machine code (``sm_86``) runs from its own minor version on within its major one, PTX (``compute_120``) on every later
    card. Other names are not CUDA's. Source: CUDA C++ Programming Guide, Compute Capabilities.
    """
    found = [match for each in arches if (match := re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", each))]
    built = [(match[1], (int(match[2]), int(match[3]))) for match in found]
    return not built or any(
        version <= capability and (kind == "compute" or version[0] == capability[0]) for kind, version in built
    )


def _unusable(card: str, why: str) -> RequestError:
    build = "without CUDA" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
    return RequestError(
        f"This machine has a GPU ({card}) that torch {torch.__version__} ({build}) cannot use: {why}. "
        f"{INSTALL}. Or train on the CPU: trainer=cpu."
    )


def _reason() -> str:
    """Why torch finds no GPU, in its own words."""
    try:
        torch.cuda.current_device()
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build without CUDA
        return str(error).splitlines()[0].rstrip(".")
    return "it finds none"


def _driver() -> str:
    return f"driver {shown[0][1]}" if (shown := _shown()) else "unknown driver"


def _shown() -> list[list[str]]:
    """Name and driver of each GPU that nvidia-smi shows; none where it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [parts for line in answer.stdout.splitlines() if len(parts := line.strip().split(", ")) == 2]
