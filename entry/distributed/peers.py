"""Signs of life between the ranks: a process that waits for a lost one is ended, with the reason."""

import contextlib
import itertools
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator

from entry.distributed.rendezvous import (
    ARRIVAL_SECONDS,
    POLL_SECONDS,
    address,
    failure_of_others,
    key,
    keys,
    name_of,
    open_store,
)
from entry.distributed.stillness import Still, Stillness
from entry.errors import RankError
from entry.request import rank
from settings.training import TrainerSettings
from streams import print_to_stderr

BEAT_SECONDS = 1.0
LEEWAY_SECONDS = 3.0  # of trainer.timeout, for a sign of life to arrive and for the end of this process
LEAVING_SECONDS = 5.0
GRACE_SECONDS = 20.0  # in which an exchange with a rank that failed should fail by itself


class RankLostError(RankError):
    """Another process gave no sign of life; it may be ended afterwards by a signal, which is not the reason."""


class Peers:
    """The other ranks, as they are watched from this one.

    An exchange with a lost rank can wait for half an hour, and one with the store for longer where the network is cut; nothing
    in this process interrupts either. So one thread exchanges signs of life, and another one, which never waits, compares times.
    """

    def __init__(self, seconds: float = TrainerSettings().timeout, *, one_machine: bool = False) -> None:
        self.seconds = seconds  # trainer.timeout
        self.one_machine = (
            one_machine  # whose store is silent only while the command that serves it is stopped, as by Ctrl-Z
        )
        self.advice = "Type the command again."  # what to do where a rank is lost
        self.on_loss: Callable[[str], None] = lambda _: None  # called before this process ends with exit code 1
        self._over = threading.Event()
        self._clock = (
            0.0  # seconds in which this process ran: while it is stopped, or its machine sleeps, nothing is silent
        )
        self._exchanged = 0.0  # seconds in which the store answered
        self._hosts = [os.environ.get("MASTER_ADDR", "")]
        self._signs: dict[int, tuple[bytes, float]] = {}  # the last one of each rank, and when it came, in those
        self._answered = math.inf  # when the store answered last
        self._stillness = Stillness()
        self._still: list[Still] = []  # of each rank, once all have reported it
        self._failure: tuple[float, str] | None = None  # what ended another rank, and when it was found
        self._due = (math.inf, "")
        self._exchanging = threading.Thread(target=self._exchange, name="beats", daemon=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside the block, give signs of life, and end this process if another rank is lost."""
        self._exchanging.start()
        threading.Thread(target=self._compare, name="peers", daemon=True).start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """From now on, the other ranks may end."""
        self._over.set()
        # Python ends a daemon's thread that returns from the store in a way that aborts the process.
        self._exchanging.join(LEAVING_SECONDS)

    @contextlib.contextmanager
    def limited(self, seconds: float, reason: str) -> Iterator[None]:
        """End this process for a reason if the block, which nothing interrupts, takes longer."""
        self._due = (self._clock + seconds, reason)
        try:
            yield
        finally:
            self._due = (math.inf, "")

    def _exchange(self) -> None:
        try:
            store = open_store(ARRIVAL_SECONDS, self._over)  # its own: one that waits for a key blocks other threads
            before = time.monotonic()
            for beat in itertools.count():
                store.set(key("beat", rank()), str(beat))
                now = time.monotonic()
                still = self._stillness.look(min(now - before, 2 * BEAT_SECONDS))
                store.set(key("still", rank()), json.dumps(still))
                self._exchanged, before = self._exchanged + min(now - before, 2 * BEAT_SECONDS), now
                if store.check(keys("still")):
                    self._still = [Still(*json.loads(each)) for each in store.multi_get(keys("still"))]
                if store.check(keys("beat")):
                    self._hosts = [host.decode() for host in store.multi_get(keys("here"))]
                    for other, found in enumerate(store.multi_get(keys("beat"))):
                        if other not in self._signs or found != self._signs[other][0]:
                            self._signs[other] = (found, self._exchanged)
                if self._failure is None and (failure := failure_of_others(store)) is not None:
                    self._failure = (self._clock, failure)
                self._answered = self._clock
                if self._over.wait(BEAT_SECONDS):
                    return
        except RankError:  # the main thread meets the same one
            return
        except RuntimeError:
            reason = (
                f"The ranks' store at {address()} does not answer: rank 0, or the launcher, has ended. See its output."
            )
            self._failure = (self._clock, reason)

    def _compare(self) -> None:
        before, reason = time.monotonic(), None
        while reason is None:
            if self._over.wait(POLL_SECONDS):
                return
            now = time.monotonic()
            self._clock, before = self._clock + min(now - before, BEAT_SECONDS), now
            reason = self._reason_to_end()
        report = threading.Thread(target=self._report, args=(reason,), daemon=True)
        report.start()
        report.join(LEEWAY_SECONDS / 2)  # the file system of status.json may be lost as well
        os._exit(1)

    def _report(self, reason: str) -> None:
        if not self.one_machine:  # else the command prints it, once
            print_to_stderr(f"rank {rank()}: {reason}")
        self.on_loss(reason)

    def _reason_to_end(self) -> str | None:
        now, limit = self._clock, self.seconds - LEEWAY_SECONDS
        if self._failure is not None:
            return self._failure[1] if now - self._failure[0] > min(GRACE_SECONDS, limit) else None
        if now > self._due[0]:
            return self._due[1]
        meaning = f"(trainer.timeout={self.seconds:g}): it has ended or was stopped, or its machine or the network is lost. {self.advice}"
        if now - self._answered > limit and not self.one_machine:
            who = name_of(0, self._hosts[0]) if rank() else "The launcher"
            return f"{who}, where the ranks' store is ({address()}), has not answered for {now - self._answered:.0f} s {meaning}"
        for other, (_, since) in list(self._signs.items()):
            if other != rank() and self._exchanged - since > limit:
                who = name_of(other, self._hosts[other])
                return f"{who} has given no sign of life for {self._exchanged - since:.0f} s {meaning}"
        return self._hung() if self._still and min(self._still).seconds > limit else None

    def _hung(self) -> str:
        """Return the ranks for which the others wait in an exchange, and where they are."""
        seconds = f"for {min(self._still).seconds:.0f} s (trainer.timeout={self.seconds:g})"
        absent = [number for number, still in enumerate(self._still) if not still.exchanging]
        named = [
            (name_of(number, self._hosts[number]), self._still[number].place) for number in range(len(self._still))
        ]
        if not absent:
            places = "; ".join(f"{name} in {place}" for name, place in named)
            return f"All ranks wait for one another {seconds}: {places}. {self.advice}"
        who = " and ".join(f"{named[number][0]}, in {named[number][1]}," for number in absent)
        others = "while the others wait for it in an exchange" if len(absent) < len(named) else "nor do others"
        return f"{who} has computed nothing {seconds}, {others}. A larger trainer.timeout waits longer. {self.advice}"


def advice(kind: str, command: str) -> str:
    """What to do where a rank was lost from a job of a kind: the `command` that goes on with a training."""
    if kind == "train":
        return f"Nothing before the last checkpoint is lost: {command}"
    return "Earlier evaluations are unchanged; type it again."
