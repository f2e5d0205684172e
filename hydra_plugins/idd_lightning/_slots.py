"""What the jobs of a sweep run on: slots, each with its share of the cores, and with a GPU where there are some."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

JOBS = "IDD_JOBS"  # how many jobs share this machine's cores: datamodules.files.audit.core_count divides by it
BLAS = "OPENBLAS_NUM_THREADS"  # numpy's; what else has threads asks core_count


@dataclass(frozen=True)
class Slot:
    """Room for a job."""

    number: int
    device: str | None = None  # as in CUDA_VISIBLE_DEVICES; None: no GPU


def visible_devices(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; torch is not imported for that."""
    typed = environment.get("CUDA_VISIBLE_DEVICES")
    if typed is not None:
        named = [each.strip() for each in typed.split(",")]
        return [each for each in named[: named.index("-1") if "-1" in named else None] if each]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip().isdecimal()]


def slots_of(jobs: int | None, jobs_per_device: int, devices: Sequence[str]) -> list[Slot]:
    """One slot a GPU and job on it, at most `jobs`; without GPUs `jobs` of them, by default one."""
    if not devices:
        return [Slot(number) for number in range(jobs or 1)]
    # All GPUs get a first job before one gets a second.
    found = [device for _ in range(jobs_per_device) for device in devices][:jobs]
    return [Slot(number, device) for number, device in enumerate(found)]


def free_slots(slots: Sequence[Slot], busy: Sequence[Slot], devices: int) -> list[Slot] | None:
    """The slots of a job that needs so many GPUs, each another one; None where it has to wait.

    A job that needs more than there are gets all: it is refused with both numbers when it starts.
    """
    free = [slot for slot in slots if slot not in busy]
    if not free or free[0].device is None:
        return free[:1] or None
    distinct = [slot for i, slot in enumerate(free) if slot.device not in {each.device for each in free[:i]}]
    needed = min(devices, len({slot.device for slot in slots}))
    return distinct[:needed] if len(distinct) >= needed else None


def environment_of(taken: Sequence[Slot], slots: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a job on some of the slots: its GPUs, and its share of the cores.

    WANDB_RUN_ID is left out: each job is a run of its own.
    """
    found = {name: value for name, value in environment.items() if name != "WANDB_RUN_ID"}
    at_once = max(1, slots // len(taken))
    found[JOBS] = str(at_once)
    found.setdefault(BLAS, str(max(1, (os.cpu_count() or 1) // at_once)))
    if taken[0].device is not None:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(str(slot.device) for slot in taken)
    return found
