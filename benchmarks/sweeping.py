"""What a sweep costs beside its jobs: the start of the command, idle slots, what each job's own start takes, and memory.

Run from the root: ``python -m benchmarks.sweeping [--jobs 8] [--slots 2] [--epochs 20] [--queued 1000]``. Prints Markdown.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import machine, markdown_table
from entry.request import PROJECT
from run_files import read_csv, read_json

TYPED = ("logger=csv", "report.html=false")


def started(*arguments: str) -> tuple[subprocess.Popen[str], float]:
    """Type a sweep; return its process, and the seconds until its first job was started."""
    began = time.perf_counter()
    command = [sys.executable, str(PROJECT / "train.py"), "-m", *TYPED, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert process.stdout is not None
    process.stdout.readline()
    return process, time.perf_counter() - began


def queue(folder: Path, queued: int) -> tuple[float, float]:
    """Seconds until the first of many jobs is started, and the largest memory of the command in MB a few seconds later."""
    process, seconds = started(f"seed=range(0,{queued})", f"hydra.sweep.dir={folder}")
    time.sleep(5)
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    process.send_signal(signal.SIGINT)
    process.communicate()
    return seconds, peak / 1024


def run(folder: Path, jobs: int, slots: int, epochs: int) -> dict[str, float]:
    """Seconds of a whole sweep from the first job's start, of all its jobs, and of what these do before their first epoch."""
    process, _ = started(
        f"seed=range(0,{jobs})", f"jobs={slots}", f"trainer.max_epochs={epochs}", f"hydra.sweep.dir={folder}"
    )
    began = time.perf_counter()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("job"):  # the table at the end
            break
    wall = time.perf_counter() - began
    process.communicate()
    records = [read_json(path) for path in (folder / "jobs").glob("*.json")]
    own, before = sum(record["seconds"] for record in records), 0.0
    for record in records:
        training = sum(float(row["seconds"]) for row in read_csv(folder / str(record["number"]) / "history.csv"))
        before += record["seconds"] - training
    return {"wall": wall, "own": own, "start": before / jobs}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--queued", type=int, default=1000)
    options = parser.parse_args()
    print(f"{machine(('torch', 'lightning', 'hydra-core'))}\n")
    with tempfile.TemporaryDirectory() as name:
        seconds, peak = queue(Path(name) / "queue", options.queued)
        found = run(Path(name) / "run", options.jobs, options.slots, options.epochs)
    ideal = found["own"] / options.slots
    rows = [
        [f"{options.queued} jobs: seconds until the first one is started", f"{seconds:.2f}"],
        [f"{options.queued} jobs: largest memory of the command, MB", f"{peak:.0f}"],
        [f"{options.jobs} jobs on {options.slots} slots: seconds", f"{found['wall']:.0f}"],
        ["seconds of a job, of which before, between and after its epochs", f"{found['own'] / options.jobs:.1f}, {found['start']:.1f}"],
        ["seconds against all jobs' own, divided by the slots", f"{found['wall'] / ideal:.3f}"],
        ["seconds against the epochs alone, divided by the slots", f"{found['wall'] / (ideal - found['start'] * options.jobs / options.slots):.3f}"],
        ["idle slots", f"{100 * (1 - ideal / found['wall']):.1f} %"],
    ]  # fmt: skip
    print(markdown_table(["", ""], rows))


if __name__ == "__main__":
    main()
