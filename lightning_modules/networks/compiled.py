"""torch.compile for training alone: evaluation computes as without it, so that its figures are the same in every command."""

import os
import shutil
import sysconfig
from typing import Any

from torch import nn

from lightning_modules.errors import NetworkError


class _CompiledInTraining(nn.Module):
    """What a network's class is combined with: its compiled form in training, itself in evaluation."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return super().__call__(*args, **options) if self.training else self._call_impl(*args, **options)  # type: ignore[no-untyped-call]


def compiled(network: nn.Module) -> None:
    """Compile a network in place for its training mode, once for each shape. Names of weights stay; a copy is not compiled.

    Raises NetworkError without a C++ compiler, which torch's needs.
    """
    if compiler() is None:
        raise NetworkError(
            "trainer.compile=true: torch's compiler needs one for C++ (g++ or clang++, or one named by CXX), and there is none here. "
            "Install one, such as with apt install g++, or leave trainer.compile out."
        )
    own = type(network)
    network.__class__ = type(own.__name__, (_CompiledInTraining, own), {"__module__": own.__module__})
    network.compile(dynamic=False)  # the last batch of an epoch has a shape of its own; a form for all shapes is slower


def compiler() -> str | None:
    """The path of the C++ compiler that torch would use, None without one."""
    names = (os.environ.get("CXX"), "g++", "clang++", (sysconfig.get_config_var("CXX") or "").split(" ")[0])
    return next((found for name in names if name and (found := shutil.which(name))), None)
