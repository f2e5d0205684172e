"""A GPU that the driver shows and torch cannot use, with a stand-in for nvidia-smi and for what torch finds."""

import pytest
import torch

from entry.errors import RequestError
from entry.gpu_support import has_kernels
from entry.hardware import choose
from settings.training import TrainerSettings

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


@pytest.mark.parametrize(
    ("capability", "arches", "usable"),
    [
        ((7, 0), CUDA_13, False), ((6, 1), CUDA_13, False), ((7, 5), CUDA_13, True),  # V100, GTX 1080, T4
        ((7, 0), CUDA_12_6, True), ((6, 1), CUDA_12_6, True),
        ((8, 9), CUDA_13, True), ((8, 7), CUDA_13, True),  # RTX 4090 runs what was made for 8.6
        ((12, 0), CUDA_12_6, False), ((12, 0), CUDA_13, True), ((12, 1), CUDA_13, True), ((13, 0), CUDA_13, True),  # the last one by PTX
        ((9, 0), ["sm_90a"], True), ((9, 4), ["gfx90a", "gfx942"], True),  # ROCm's names are another matter
    ],
)  # fmt: skip
def test_a_build_runs_on_a_card_of_its_major_version_or_by_ptx(capability, arches, usable):
    assert has_kernels(capability, arches) is usable


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put an nvidia-smi with this answer first on the path; it writes down that it was called."""

    def install(answer="Tesla V100-SXM2-32GB, 470.57.02", code=0):
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho called >> '{tmp_path}/calls'\necho '{answer}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return install


def chosen(accelerator="auto", **keys):
    return choose(TrainerSettings(accelerator=accelerator, **keys)).accelerator


@pytest.mark.parametrize("accelerator", ["auto", "gpu"])
def test_a_driver_that_is_too_old_is_named_with_card_and_build(nvidia_smi, monkeypatch, accelerator):
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update.\nMore.")

    nvidia_smi()
    monkeypatch.setattr(torch.cuda, "current_device", init)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(RequestError) as refused:
        chosen(accelerator)
    assert str(refused.value) == (
        f"This machine has a GPU (Tesla V100-SXM2-32GB, driver 470.57.02) that torch {torch.__version__} (for CUDA 13.0) "
        "cannot use: The NVIDIA driver on your system is too old (found version 11040). Please update. "
        "Set up one that fits (docs/INSTALL.md): make setup TORCH=cu126 TORCH_INDEX=URL for older cards and drivers, "
        "TORCH=system for the one that the system has, TORCH=pinned for recent cards. Or train on the CPU: trainer=cpu."
    )


def test_a_torch_without_cuda_is_named(nvidia_smi, monkeypatch):
    def init():
        raise AssertionError("Torch not compiled with CUDA enabled")

    nvidia_smi()
    monkeypatch.setattr(torch.cuda, "current_device", init)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        RequestError, match=r"\(without CUDA\) cannot use: Torch not compiled with CUDA enabled\. Set up"
    ):
        chosen()


def test_trainer_cpu_does_not_look_for_a_gpu(nvidia_smi, tmp_path):
    nvidia_smi()
    assert chosen("cpu") == "cpu"
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "nonsense"])
def test_hidden_gpus_are_not_missed(nvidia_smi, monkeypatch, tmp_path, value):
    nvidia_smi()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert chosen() == "cpu"
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("value", ["9", "GPU-8932f937-d72c"])
def test_a_variable_that_names_a_gpu_that_torch_does_not_find_is_quoted(nvidia_smi, monkeypatch, value):
    nvidia_smi()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(RequestError, match=rf"cannot use: it finds none; CUDA_VISIBLE_DEVICES={value}\. Set up"):
        chosen()


@pytest.mark.parametrize(
    "answer", [("No devices were found", 0), ("No devices were found", 6), ("NVML: mismatch, unknown", 18)]
)
def test_a_driver_without_a_gpu_leaves_the_cpu(nvidia_smi, answer):
    nvidia_smi(*answer)
    assert chosen() == "cpu"


@pytest.fixture
def cards(monkeypatch):
    """What torch finds: the compute capability of each card."""

    def install(*capabilities, arches=CUDA_13, bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: f"card {index}")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index=0: capabilities[index])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: arches)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: capabilities[0] >= (8, 0))

    return install


def test_a_card_without_kernels_is_named_with_both_capabilities(cards, nvidia_smi):
    cards((7, 0))
    nvidia_smi("card 0, 550.1")
    with pytest.raises(RequestError) as refused:
        chosen()
    assert "(card 0, driver 550.1)" in str(refused.value)
    assert "it has compute capability 7.0, and this torch has kernels for sm_75, sm_80, " in str(refused.value)
    assert chosen("cpu") == "cpu"


def test_only_the_cards_of_the_run_are_held_against_the_build(cards):
    cards((8, 0), (7, 0))
    assert chosen() == "gpu"
    with pytest.raises(RequestError, match=r"\(card 1, unknown driver\)|\(card 1, driver "):
        chosen(devices="auto")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((12, 0), "bf16-mixed"), ((9, 0), "bf16-mixed"), ((8, 0), "bf16-mixed"), ((8, 6), "bf16-mixed"),
        ((7, 5), "16-mixed"), ((7, 0), "16-mixed"), ((6, 1), "32-true"), ((6, 0), "32-true"), ((5, 2), "32-true"),
    ],
)  # fmt: skip
def test_auto_precision_is_what_the_card_is_quick_in(cards, capability, precision):
    cards(capability, arches=[*CUDA_12_6, "compute_90"])
    assert choose(TrainerSettings()).precision == precision
    assert choose(TrainerSettings(precision="32-true")).precision == "32-true"
