"""Lightning's strategy for several processes."""

import inspect
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from entry.hardware import Hardware
from settings.training import TrainerSettings


def ddp_strategy(trainer: TrainerSettings, hardware: Hardware) -> DDPStrategy:
    """How the processes of a training share its gradients."""
    # Only gradients are sent at a step: the module broadcasts its buffers (BatchNorm's) when they are needed, before a
    # validation. The argument was renamed in torch 2.14.
    keys = inspect.signature(DistributedDataParallel).parameters
    sync_buffers = "forward_sync_buffers" if "forward_sync_buffers" in keys else "broadcast_buffers"
    options: dict[str, Any] = {
        "process_group_backend": "gloo" if hardware.accelerator == "cpu" else None,
        "find_unused_parameters": trainer.find_unused_parameters,
        "gradient_as_bucket_view": True,  # no second copy of the gradients
        sync_buffers: False,
    }
    if hardware.accelerator == "cpu":
        # The cores that would send while others compute are the same ones: sending once when all is computed is
        # quicker (ResNet-18 on two ranks and two cores: 192 images/s against 177 with torch's buckets of 25 MB).
        options["bucket_cap_mb"] = 1024
    return DDPStrategy(**options)
