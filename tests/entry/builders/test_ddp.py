"""The strategy for several processes: what is sent, through what, and when."""

import inspect

import pytest
from torch.nn.parallel import DistributedDataParallel

from entry.builders.ddp import ddp_strategy
from entry.hardware import Hardware
from settings.training import TrainerSettings


@pytest.mark.parametrize(("accelerator", "backend", "bucket"), [("cpu", "gloo", 1024), ("gpu", None, None)])
@pytest.mark.parametrize("unused", [False, True])
def test_gradients_alone_are_sent_and_on_a_cpu_once(accelerator, backend, bucket, unused):
    settings = TrainerSettings(find_unused_parameters=unused)
    strategy = ddp_strategy(settings, Hardware(accelerator, "a device", "32-true", 1, 2))
    assert strategy.process_group_backend == backend
    keys = inspect.signature(DistributedDataParallel).parameters
    options = dict(strategy._ddp_kwargs)  # noqa: SLF001  what DistributedDataParallel is made with
    assert {*options} <= {*keys}
    assert [options[name] for name in options if name in ("forward_sync_buffers", "broadcast_buffers")] == [False]
    assert (options["find_unused_parameters"], options["gradient_as_bucket_view"]) == (unused, True)
    assert options.get("bucket_cap_mb") == bucket
