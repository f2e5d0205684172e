"""Whether the other ranks still run, for launchers that do not end all when one has ended, such as srun."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

from torch.distributed import Store

from entry.distributed import rendezvous
from entry.request import rank, world_size
from streams import print_to_stderr

BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0  # without a sign of life a rank counts as lost; a stopped debugger may take longer
GRACE_SECONDS = 20.0  # in which an exchange with the lost rank should fail by itself


@contextlib.contextmanager
def watched(on_loss: Callable[[str], None]) -> Iterator[None]:
    """Inside the block, give signs of life, and end this process if another rank is lost.

    An exchange between ranks can wait for half an hour, and nothing in this process interrupts it. `on_loss` is called with
    the reason, in a thread, before the process ends with exit code 1.
    """
    over = threading.Event()
    store = rendezvous.open_store(
        rendezvous.ARRIVAL_SECONDS
    )  # of its own: one that waits for a key blocks other threads

    def watch() -> None:
        reason = _reason_to_end(store, over)
        if reason is not None and not over.wait(GRACE_SECONDS):
            print_to_stderr(f"rank {rank()}: {reason}")
            on_loss(reason)
            os._exit(1)

    threading.Thread(target=watch, name="peers", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _reason_to_end(store: Store, over: threading.Event) -> str | None:
    """Watch until a rank is lost, and return why; None when `over` is set."""
    others = [other for other in range(world_size()) if other != rank()]
    last = dict.fromkeys(others, (b"", time.monotonic()))  # the beat of each, and when it came
    beat = 0
    while not over.wait(BEAT_SECONDS):
        beat += 1
        try:
            store.set(rendezvous.key("beat", rank()), str(beat))
            if (failure := rendezvous.failure_of_others(store)) is not None:
                return failure
            for other in others:
                found = store.get(key) if store.check([key := rendezvous.key("beat", other)]) else b""
                if found != last[other][0]:
                    last[other] = (found, time.monotonic())
                elif time.monotonic() - last[other][1] > SILENT_SECONDS:
                    where = rendezvous.host_of(store, other)
                    return (
                        f"Rank {other} of {world_size()} ({where}) has given no sign of life for {SILENT_SECONDS:g} s."
                    )
        except RuntimeError:
            return "The ranks' store does not answer: rank 0, or the launcher, has ended. See its output."
    return None
