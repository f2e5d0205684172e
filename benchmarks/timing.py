"""Shared by the benchmarks: timing ways in turn, memory, a description of the machine, and Markdown tables."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path


def interleaved(
    ways: Mapping[str, Callable[[], object]], repeats: int = 15, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median seconds of each way.

    The ways take turns, so that other load affects all of them; each runs once before.
    """
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = clock()
            way()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def high_water(*, reset: bool = False) -> int:
    """Return the peak memory of this process in bytes since the last reset, or since its start (Linux)."""
    status = Path("/proc/self/status").read_text()
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def machine(packages: Sequence[str] = ("torch", "torchmetrics", "scikit-learn", "numpy")) -> str:
    """Return a line with the CPU and the versions of Python and of packages."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{(models or [platform.machine()])[0]}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
