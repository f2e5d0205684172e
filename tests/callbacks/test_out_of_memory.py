"""Where memory is used up: at which batch and image size, and what to type; sizes and keys worked out by hand."""

from types import SimpleNamespace

import pytest
import torch

from callbacks.out_of_memory import OutOfMemory, lacks_memory
from settings.training import TrainerSettings

OF_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (OF_GPU, True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:125] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."), True),
        (MemoryError("Unable to allocate 3.00 GiB for an array"), True),
        (RuntimeError("a bug"), False),
        (ValueError("out of memory"), False),
    ],
)  # fmt: skip
def test_which_errors_are_meant(error, lacks):
    assert lacks_memory(error) == lacks


def note(trainer, error=None, *, training=True, ranks=1, device="cuda", batch_size=12, eval_batch_size=8):
    error = error or torch.OutOfMemoryError("CUDA out of memory.")
    settings = SimpleNamespace(batch_size=batch_size, eval_batch_size=eval_batch_size, image_size=(512, 1024))
    running = SimpleNamespace(training=training, world_size=ranks, datamodule=SimpleNamespace(settings=settings, eval_size=(600, 900)))  # fmt: skip
    OutOfMemory(TrainerSettings(**trainer)).on_exception(running, SimpleNamespace(device=torch.device(device)), error)
    [text] = error.__notes__
    return text


def test_a_training_step_is_cut_into_more_parts_that_divide_it():
    assert note({}) == (
        "The GPU's memory is used up by a training step of 12 images of 1024×512 pixels (data.batch_size=12). Type trainer.accumulate=2 "
        "(the same step in smaller parts), data.batch_size=6, a smaller data.image_size or trainer.gradient_checkpointing=true."
    )
    # 12 of 2 ranks: 6 each; 2 parts of 3, so that 3 parts of 2 come next, and no smaller ones.
    found = note({"accumulate": 2, "precision": "32-true", "gradient_checkpointing": True}, ranks=2)
    assert "a training step of 3 images of 1024×512 pixels (data.batch_size=12 in 4 parts)" in found
    assert "Type trainer.accumulate=3 (the same step in smaller parts), data.batch_size=4, a smaller data.image_size or trainer.precision=bf16-mixed." in found  # fmt: skip
    assert "gradient_checkpointing" not in found
    assert "accumulate=4" not in note({"accumulate": 3}, ranks=2)
    assert "trainer.accumulate" not in note({"accumulate": 3}, ranks=2)


def test_an_evaluation_has_its_own_sizes():
    found = note({}, training=False, device="cpu", error=MemoryError())
    assert found == (
        "The memory of this machine is used up by evaluating 8 images of 900×600 pixels at a time (data.eval_batch_size). "
        "Type data.eval_batch_size=4 or a smaller data.eval_size (with other scores)."
    )
    assert "evaluating 1 image of 900×600 pixels at a time (data.eval_batch_size). Type a smaller" in note({}, training=False, eval_batch_size=1)  # fmt: skip


def test_other_errors_and_trainers_without_data_have_no_note():
    error, gpu = RuntimeError("a bug"), torch.OutOfMemoryError("CUDA out of memory.")
    callback = OutOfMemory(TrainerSettings())
    callback.on_exception(SimpleNamespace(datamodule=SimpleNamespace()), None, error)
    callback.on_exception(SimpleNamespace(datamodule=None), None, gpu)
    assert not hasattr(error, "__notes__")
    assert not hasattr(gpu, "__notes__")
