"""What a sweep prints while it runs, and at its end: a live table on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hydra_plugins.idd_lightning._jobs import Record, Sweep, best_row
from run_files import EpochRow, read_rows
from run_folder import RunFolderError

LOOK_SECONDS = 1.0  # between two looks into the histories of the running jobs
MOST_ROWS = 30  # of the table at the end
ALONE_WIDTH = 160  # of a log
STYLES = {"failed": "red", "refused": "yellow", "finished": "green", "running": "cyan"}


class Lines:
    """Prints a line when a job starts or ends."""

    def __init__(self, sweep: Sweep, slots: int, varied: Sequence[str]) -> None:
        terminal = sys.stdout.isatty()
        self.console = Console(
            file=sys.stdout, width=None if terminal else ALONE_WIDTH, soft_wrap=not terminal, highlight=False, markup=False, emoji=False
        )  # fmt: skip
        self.sweep, self.slots, self.varied = sweep, slots, varied

    def started(self, record: Record) -> None:
        """Print that a job was started."""
        again = f", attempt {record.attempts}" if record.attempts > 1 else ""
        self.note(f"Job {record.number} ({self.what(record)}) started{again}.")

    def ended(self, record: Record, reason: str) -> None:
        """Print how a job has ended, with the last lines of its log where it failed."""
        score = "" if record.score is None else f", val/{record.headline} {record.score:.3f}"
        code = f" (exit code {record.exit_code})" if record.exit_code else ""
        self.note(
            f"Job {record.number} ({self.what(record)}) {_verb(record.state)}{code} after {_clock(record.seconds)}{score}."
        )
        if reason:
            indented = "\n".join(f"    {line}" for line in reason.splitlines())
            self.note(f"{indented}\n    log: {self.sweep.log(record.number)}")

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True)

    def update(self, running: Sequence[Record], waiting: int | None) -> None:
        """Print nothing."""

    def what(self, record: Record) -> str:
        """The overrides of a job in which it differs from others."""
        keys = tuple(f"{key}=" for key in self.varied)
        return " ".join(text for text in record.overrides if text.startswith(keys)) or "no overrides"


class LiveTable(Lines):
    """Shows the running jobs on a terminal, below the lines."""

    def __init__(self, sweep: Sweep, slots: int, varied: Sequence[str]) -> None:
        super().__init__(sweep, slots, varied)
        self.live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stderr=False)
        self._due = 0.0

    def started(self, record: Record) -> None:
        """Print nothing: the table has it."""

    def update(self, running: Sequence[Record], waiting: int | None) -> None:
        """Draw the table anew, once a second."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOOK_SECONDS
        room = max(3, self.console.height - 6)
        table = _table("job", "what differs", "state", "epoch", "score", "elapsed", "rest")
        for record in running[:room]:
            table.add_row(*self._row(record), style=STYLES["running"])
        self.live.update(Group(table, Text(self._summary(len(running), waiting))), refresh=True)

    def _row(self, record: Record) -> tuple[str, ...]:
        folder, rows = self.sweep.folder(record.number), []
        with contextlib.suppress(OSError, RunFolderError):  # not there yet, or damaged, which its end has as a reason
            rows = read_rows(folder / "history.csv", EpochRow)
            if rows and record.headline is None:
                record.learn(folder)
        best = best_row(rows, f"val/{record.headline}")
        score = f"{float(best[f'val/{record.headline}']):.3f}" if best else ""
        elapsed = _since(record.started)
        mean = self._mean_seconds()
        rest = _clock(max(0.0, mean - elapsed)) if mean else ""
        number = str(int(rows[-1]["epoch"]) + 1) if rows else ""
        return str(record.number), self.what(record), record.state, number, score, _clock(elapsed), rest

    def _summary(self, running: int, waiting: int | None) -> str:
        states = [record.state for record in self.sweep.records.values()]
        counts = [
            f"{states.count(s)} {s}" for s in ("finished", "pruned", "failed", "refused", "stopped") if s in states
        ]
        parts = [*counts, f"{running} running", *([] if waiting is None else [f"{waiting} waiting"])]
        if best := self.sweep.best():
            parts.append(f"best val/{best.headline} {best.score:.3f} (job {best.number})")
        if (mean := self._mean_seconds()) and waiting is not None:
            parts.append(f"about {_clock(mean * (waiting + running / 2) / self.slots)} left")
        return " · ".join(parts)

    def _mean_seconds(self) -> float | None:
        known = [r.seconds for r in self.sweep.records.values() if r.state in ("finished", "pruned") and r.seconds]
        return sum(known) / len(known) if known else None


@contextlib.contextmanager
def shown(sweep: Sweep, slots: int, varied: Sequence[str]) -> Iterator[Lines]:
    """The screen of a sweep inside the block: a live table where standard output is a terminal."""
    if not sys.stdout.isatty():
        yield Lines(sweep, slots, varied)
        return
    screen = LiveTable(sweep, slots, varied)
    with screen.live:
        yield screen


def print_result(screen: Lines) -> None:
    """Print the jobs sorted by their validation score, those without one at the end."""
    records = sorted(screen.sweep.records.values(), key=lambda r: (r.score is None, -(r.score or 0.0), r.number))
    names = list(dict.fromkeys(record.headline for record in records if record.headline))
    table = _table("job", "what differs", "state", *(f"val/{name}" for name in names), "epochs", "seconds")
    for record in records[:MOST_ROWS]:
        scores = [
            f"{record.score:.3f}" if record.score is not None and record.headline == name else "" for name in names
        ]
        seconds = "" if record.seconds is None else f"{record.seconds:.0f}"
        cells = (str(record.number), screen.what(record), record.state, *scores, str(record.epochs or ""), seconds)
        table.add_row(*cells, style=STYLES.get(record.state) if record.state != "finished" else None)
    screen.console.print(table)
    if len(records) > MOST_ROWS:
        screen.note(f"… {len(records) - MOST_ROWS} more in {screen.sweep.path / 'sweep.csv'}")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        numeric = column not in ("what differs", "state")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    return table


def _verb(state: str) -> str:
    return f"was {state}" if state in ("refused", "stopped", "pruned") else state


def _clock(seconds: float | None) -> str:
    return str(timedelta(seconds=round(seconds or 0)))


def _since(started: str | None) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() if started else 0.0
