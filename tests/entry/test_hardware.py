import pytest
import torch

from datamodules.files.audit import core_count
from entry.errors import RequestError
from entry.hardware import OWN_RANKS, choose
from settings.training import TrainerSettings


@pytest.fixture(autouse=True)
def no_threads_of_the_environment(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHELASTIC_RUN_ID", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)


def trainer(**keys):
    return TrainerSettings(**{"accelerator": "cpu", "precision": "32-true", **keys})


def test_processes_share_the_cores():
    assert choose(trainer(devices=2)).threads == max(1, core_count() // 2)
    assert choose(trainer(devices=10_000)).threads == 1
    assert choose(trainer(devices=2, threads=3)).threads == 3


def test_auto_is_one_cpu():
    assert choose(trainer(devices="auto")).ranks == 1


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index=0: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])


def test_auto_is_every_visible_gpu(two_gpus):
    found = choose(trainer(accelerator="gpu", devices="auto", sync_batchnorm=True))
    assert (found.accelerator, found.devices, found.ranks, found.device_name) == ("gpu", 2, 2, "a card")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"accelerator": "gpu", "devices": 3}, r"trainer\.devices=3, but 2 GPUs are visible"),
        ({"devices": 2, "num_nodes": 2}, "torchrun --nnodes=2 --nproc-per-node=2"),
        ({"devices": 2, "sync_batchnorm": True}, r"trainer\.sync_batchnorm=true: torch's SyncBatchNorm needs GPUs"),
    ],
)
def test_what_is_not_there_is_refused(two_gpus, keys, message):
    with pytest.raises(RequestError, match=message):
        choose(trainer(**keys))


def test_the_launchers_processes_and_the_configuration_must_agree(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert choose(trainer(devices=2, num_nodes=2)).ranks == 4
    with pytest.raises(
        RequestError, match=r"started 4 processes, but trainer\.num_nodes × trainer\.devices is 1 × 3 = 3"
    ):
        choose(trainer(devices=3))


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"OMP_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "3,2"}, 3), ({"MKL_NUM_THREADS": "5"}, 5), ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "0"}, None), ({"OMP_NUM_THREADS": "many"}, None), ({"OMP_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "5"}, 3),
        # torchrun sets it to 1 where nobody has; what somebody has set otherwise it keeps.
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"}, None), ({"OMP_NUM_THREADS": "3", "TORCHELASTIC_RUN_ID": "none"}, 3),
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": f"{OWN_RANKS}-1"}, 1),
    ],
)  # fmt: skip
def test_threads_follow_the_environment_unless_they_are_typed(monkeypatch, variables, threads):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("entry.hardware.core_share", lambda devices: 8 // devices)
    assert choose(trainer(devices=2)).threads == (threads or 4)
    assert choose(trainer(devices=2, threads=7)).threads == 7


def test_a_variable_that_hides_the_gpus_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RequestError, match=r"no GPU on this machine \(CUDA_VISIBLE_DEVICES='' may hide it\)"):
        choose(trainer(accelerator="gpu"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "nonsense")
    assert choose(trainer(accelerator="auto")).accelerator == "cpu"


def test_an_apple_gpu_is_taken_where_it_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for wanted in ("auto", "mps"):
        found = choose(TrainerSettings(accelerator=wanted))
        assert (found.accelerator, found.precision, found.ranks) == ("mps", "32-true", 1)
    assert choose(TrainerSettings(accelerator="cpu")).accelerator == "cpu"
    with pytest.raises(RequestError, match=r"there is one Apple GPU\. Type trainer\.devices=1"):
        choose(TrainerSettings(accelerator="mps", devices=2))
    with pytest.raises(RequestError, match="Apple's GPUs have no float64"):
        choose(TrainerSettings(accelerator="mps", precision="64-true"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RequestError, match=r"trainer\.accelerator=mps: torch sees no Apple GPU"):
        choose(TrainerSettings(accelerator="mps"))
