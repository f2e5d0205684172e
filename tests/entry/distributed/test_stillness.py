"""Whether a main thread computes: sleeping and waiting for other ranks is distinguished from computing and from waiting for a disk."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist

from entry.distributed.stillness import Still, Stillness

LOOKS, PASSED = 6, 0.2


@pytest.fixture
def group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def seen(act):
    """What another thread sees while this one acts: it looks five times in a second, the first time before that begins."""
    stillness, found = Stillness(), []
    stillness.look(PASSED)

    def watch():
        for _ in range(LOOKS):
            time.sleep(PASSED)
            found.append(stillness.look(PASSED))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        act(watching)
        watching.result()
    return found


def sleep(_):
    time.sleep(LOOKS * PASSED + 0.5)


def test_a_sleep_is_seen_with_its_place(group):
    found = seen(sleep)
    assert found[-1].seconds == pytest.approx((LOOKS - 1) * PASSED)
    assert [each.exchanging for each in found] == [False] * LOOKS
    assert found[-1].place.startswith("sleep (distributed/test_stillness.py:")


def test_without_a_group_nobody_is_waited_for():
    assert seen(sleep) == [Still()] * LOOKS


def test_what_computes_is_not_still(group):
    def loop(watching):
        while not watching.done():
            sum(range(10_000))

    def one_call(watching):  # at the same place in Python all the time
        big = torch.rand(1500, 1500)
        while not watching.done():
            torch.linalg.svd(big)

    for act in (loop, one_call):
        assert seen(act)[-1].seconds <= PASSED


def test_waiting_for_a_disk_is_not_still(group, tmp_path):
    text = "import time\ndef read(seconds):\n    time.sleep(seconds)\n"
    names = {}
    exec(compile(text, str(tmp_path / "datamodules" / "files" / "images.py"), "exec"), names)  # noqa: S102  as if it were there
    assert seen(lambda _: names["read"](LOOKS * PASSED + 0.5)) == [Still()] * LOOKS


def test_waiting_in_an_exchange_is_marked(group):
    store, names = dist.HashStore(), {}
    exec(compile("def exchange(act):\n    act()\n", "/site/torch/distributed/distributed_c10d.py", "exec"), names)  # noqa: S102

    def exchange(watching):
        def arrive(_):
            store.set("late", "")

        watching.add_done_callback(arrive)
        names["exchange"](lambda: store.wait(["late"]))

    found = seen(exchange)
    assert found[-1].exchanging
    assert found[-1].seconds == pytest.approx((LOOKS - 1) * PASSED)
