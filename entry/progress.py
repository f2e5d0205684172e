"""Work on batches that goes on while others are computed, and how much of it is left."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from streams import NEXT_LINE_SECONDS, print_to_stderr

Item = TypeVar("Item")
Result = TypeVar("Result")
Batch = Mapping[str, Any]


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield what an iterator yields, while a thread computes the next item."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def side_by_side(act: Callable[[Item], Result], items: Iterator[Item], threads: int) -> Iterator[Result]:
    """Yield `act(item)` of each item in their order, while as many threads compute the next ones; at most one more waits."""
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future[Result]] = deque()
        for item in items:
            coming.append(pool.submit(act, item))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def tracked(batches: Iterator[Batch], total: int | None, what: str, shown: bool | str) -> Iterator[Batch]:
    """Yield batches of `total` images, and show on stderr how many are done and the time left: as a bar, or a line each minute."""
    bar = sys.stderr.isatty() if shown == "auto" else bool(shown)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not bar) as progress:
        task, due = progress.add_task(what, total=total), time.monotonic() + NEXT_LINE_SECONDS
        for batch in batches:
            yield batch
            progress.advance(task, len(batch["index"]) + len(batch["unreadable"]))
            if not bar and time.monotonic() > due:
                state, due = progress.tasks[0], time.monotonic() + NEXT_LINE_SECONDS
                left = "" if state.time_remaining is None else f", {timedelta(seconds=int(state.time_remaining))} left"
                print_to_stderr(
                    f"{what}: {state.completed:.0f} of {total or 'an unknown number of'} are predicted{left}"
                )
