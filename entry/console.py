"""What a run prints before its first step and after its last."""

import sys

from rich.console import Console
from rich.table import Table

from datamodules.base import ImageDataModule
from entry.run import Run
from streams import printable

MOST_NAMED = 6  # rare classes in a note
MOST_CLASSES = 30  # more rows than this push everything else off the screen


def console() -> Console:
    """Standard output, at the terminal's width or a log's; what stands in brackets or between colons is printed as it is."""
    width = None if sys.stdout.isatty() else 120
    return Console(file=sys.stdout, width=width, soft_wrap=bool(width), highlight=False, markup=False, emoji=False)


def announce(run: Run) -> None:
    """Print classes and counts, notes on the data, model, weights, device and precision."""
    screen, settings, datamodule, machine = console(), run.settings, run.datamodule, run.machine
    screen.print(_classes(datamodule))
    for note in datamodule.notes:
        screen.print(printable(f"note: {note}"))
    if run.weights.note:
        screen.print(f"weights: {run.weights.note}")
    height, width = settings.data.image_size
    steps = settings.trainer.max_steps and f" ({settings.trainer.max_steps} steps)"
    screen.print(
        f"{settings.model.name}: {run.facts['parameters'] / 1e6:.2f} M parameters, weights {run.weights.used}, images {width}×{height}, "
        f"aug {settings.aug.name}, batch {settings.data.batch_size}, {settings.trainer.max_epochs} epochs{steps or ''}"
    )
    threads = f"{machine.ranks} processes of {machine.threads}" if machine.ranks > 1 else machine.threads
    screen.print(f"{machine.accelerator} ({machine.device_name}), precision {machine.precision}, {threads} threads")


def _classes(datamodule: ImageDataModule) -> Table:
    counts = datamodule.counts()
    space = datamodule.label_space
    title = f"{printable(space.name)}: {space.num_classes} classes, {datamodule.unit} of each"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("class")
    for split in counts:
        table.add_column(split, justify="right")
    for name in space.classes[:MOST_CLASSES]:
        table.add_row(printable(name), *(f"{counts[split].get(name, 0):,}" for split in counts))
    if space.num_classes > MOST_CLASSES:
        table.add_row(f"… {space.num_classes - MOST_CLASSES} more", *("" for _ in counts))
    table.add_row(f"all {datamodule.unit}", *(f"{sum(counts[split].values()):,}" for split in counts), style="bold")
    if datamodule.unit == "pixels":
        table.add_row("frames", *(f"{len(datamodule.table.indices(split)):,}" for split in counts), style="bold")
    return table
