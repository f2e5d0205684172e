"""Slots: GPUs and cores, handed out to jobs."""

import pytest

from hydra_plugins.idd_lightning._slots import Slot, environment_of, free_slots, slots_of, visible_devices


@pytest.mark.parametrize(
    ("typed", "found"),
    [("0,2", ["0", "2"]), (" 3 ", ["3"]), ("", []), ("-1", []), ("0,-1,2", ["0"]), ("GPU-8a1,MIG-77", ["GPU-8a1", "MIG-77"])],
)  # fmt: skip
def test_visible_devices_are_those_that_cuda_would_use(typed, found):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": typed}) == found


def test_without_the_variable_the_driver_is_asked(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_devices({}) == ["0", "1"]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert visible_devices({}) == []
    program.unlink()
    assert visible_devices({}) == []


def test_one_slot_a_gpu_and_job_on_it():
    assert slots_of(None, 1, ["0", "1"]) == [Slot(0, "0"), Slot(1, "1")]
    assert [slot.device for slot in slots_of(None, 2, ["0", "1"])] == ["0", "1", "0", "1"]
    assert [slot.device for slot in slots_of(3, 2, ["0", "1"])] == ["0", "1", "0"]
    assert slots_of(None, 1, []) == [Slot(0)]
    assert slots_of(3, 1, []) == [Slot(0), Slot(1), Slot(2)]


def test_a_job_of_several_gpus_gets_different_ones_and_waits_for_them():
    slots = slots_of(None, 2, ["0", "1"])  # 0 1 0 1
    assert free_slots(slots, [], 2) == [slots[0], slots[1]]
    assert free_slots(slots, slots[:1], 2) == [slots[1], slots[2]]
    assert free_slots(slots, [slots[0], slots[2]], 2) is None
    assert free_slots(slots, [], 8) == [slots[0], slots[1]]  # refused by the job itself, with both numbers
    assert free_slots(slots, slots, 1) is None
    cores = slots_of(2, 1, [])
    assert free_slots(cores, cores[:1], 4) == [cores[1]]  # processes of one job share its cores


def test_each_job_sees_its_own_devices_and_its_share_of_the_cores():
    environment = {"PATH": "/bin", "WANDB_RUN_ID": "abc", "CUDA_VISIBLE_DEVICES": "4,5"}
    found = environment_of([Slot(1, "5")], 4, environment)
    assert (found["CUDA_VISIBLE_DEVICES"], found["IDD_JOBS"], found["PATH"]) == ("5", "4", "/bin")
    assert "WANDB_RUN_ID" not in found
    assert environment_of([Slot(0, "4"), Slot(1, "5")], 4, environment)["IDD_JOBS"] == "2"
    assert environment_of([Slot(0)], 2, {"OPENBLAS_NUM_THREADS": "7"})["OPENBLAS_NUM_THREADS"] == "7"
    assert "CUDA_VISIBLE_DEVICES" not in environment_of([Slot(0)], 1, {})
