"""The launcher: what it runs for a job, how it knows a job again, and how a sweep is kept."""

from types import SimpleNamespace

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.conf import ConfigSourceInfo
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from entry.request import CONF
from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep
from hydra_plugins.idd_lightning.local import LocalLauncher, hash_of
from run_folder import folder_name, write_json


@pytest.fixture(autouse=True)
def hydra():
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides):
    return compose("train", list(overrides), return_hydra_config=True)


def launcher(folder, *typed, sources=()):
    """A launcher whose sweep is in a folder, and which composes by Hydra's public interface."""
    config = composed(*typed, f"hydra.sweep.dir={folder}")
    config.hydra.runtime.config_sources = [*sources]
    made = LocalLauncher()
    load = lambda _, overrides: composed(*overrides)  # noqa: E731
    made.setup(
        hydra_context=SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=load)),
        task_function=None,
        config=config,
    )
    return made


def test_settings_have_a_hash_whatever_form_they_were_typed_in():
    first = hash_of(composed("optimizer.lr=1e-3", "seed=1"))
    assert hash_of(composed("seed=1", "optimizer.lr=0.001")) == first
    assert hash_of(composed("seed=1", "jobs=4", "retries=2", "logger=csv", "sweep.evaluate=all")) == first
    assert hash_of(composed("seed=2")) != first
    assert hash_of(composed("seed=1", "optimizer=sgd")) != first


def test_a_job_that_cannot_be_composed_is_left_to_its_own_process(tmp_path):
    job = Job(0, ("model=no_such",))
    launcher(tmp_path / "s").prepare(job)
    assert (len(job.hash), job.devices) == (64, 1)


@pytest.mark.parametrize(("typed", "devices"), [((), 1), (("trainer=ddp", "trainer.devices=4"), 4), (("trainer=ddp_cpu", "trainer.devices=2"), 1), (("trainer=ddp",), 1)])  # fmt: skip
def test_the_gpus_of_a_job_are_those_that_it_names(tmp_path, typed, devices):
    job = Job(0, typed)
    launcher(tmp_path / "s").prepare(job)
    assert job.devices == devices


def test_a_new_job_is_an_ordinary_training_and_a_begun_one_is_resumed(tmp_path):
    made = launcher(tmp_path / "a b", sources=[ConfigSourceInfo("/my/conf", "file", "command-line")])
    made.open()
    job = Job(3, ("seed=1", "allow=[mine]", "data.root='a,b'"))
    command = made.command(job)
    assert command[1].endswith("/train.py")
    assert command[2:] == [
        "--config-dir=/my/conf",
        *job.overrides,
        "hydra.mode=RUN",
        f'hydra.run.dir="{tmp_path}/a b/3"',
    ]
    (tmp_path / "a b" / "3").mkdir(parents=True)
    (tmp_path / "a b" / "3" / "config.yaml").touch()
    assert made.command(job)[2:] == [f'resume="{tmp_path}/a b/3"', "allow=[mine]"]


def test_a_folder_that_was_typed_takes_one_sweep(tmp_path):
    made = launcher(tmp_path / "s")
    made.open().create(["seed=1"], "")
    made.config.hydra.overrides.hydra.append(f"hydra.sweep.dir={tmp_path}/s")
    with pytest.raises(HydraException, match="already holds a sweep"):
        made.open()
    made.config.hydra.overrides.hydra = []  # its default name: the next free one
    assert made.open().path == tmp_path / "s_2"
    write_json(tmp_path / "s" / "jobs" / "0.json", {"number": 0, "overrides": ["seed=1"], "state": "finished"})
    made.config.sweep.resume = str(tmp_path / "s")
    assert made.open().records == {0: Record(0, ["seed=1"], state="finished")}


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=resnet18", "optimizer=sgd", "optimizer.lr=0.3", "aug=flip_rotate", "seed=5"),
        ("~scheduler", "logger=[wandb,tensorboard]", "+callbacks.mine._target_=my.Callback"),
        ("experiment=q2_resnet18", "trainer.max_epochs=3"),
        ("model=deeplabv3_resnet50", "data=idd", "data.root='/a, b'", "loss=ohem"),
    ],
)
def test_the_experiment_of_a_job_has_the_settings_of_the_job(tmp_path, overrides):
    made = launcher(tmp_path / "s")
    text = made._as_experiment(Record(7, list(overrides)))  # noqa: SLF001
    assert text.splitlines()[1].startswith("# Job 7: ")
    assert "jobs" not in yaml.safe_load(text)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "best.yaml").write_text(text)
    again = composed(f"hydra.searchpath=[file://{tmp_path}/conf]", "experiment=best")
    assert hash_of(again) == hash_of(composed(*overrides))
    assert again.logger == composed(*overrides).logger


def test_other_sweepers_batches_are_refused(tmp_path):
    with pytest.raises(HydraException, match="hydra/launcher=basic"):
        launcher(tmp_path / "s").launch([["seed=1"]], 0)


def test_the_records_of_a_sweep_are_those_of_its_folder(tmp_path):
    sweep = Sweep(tmp_path / "s")
    sweep.create(["seed=1,2"], "now")
    sweep.keep(Record(1, ["seed=2"], state="failed", exit_code=1))
    assert Sweep.open(tmp_path / "s").records == sweep.records


def test_a_sweep_within_a_launchers_processes_is_refused(run_command, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    answer = run_command("train", "-m", "hydra/launcher=local", "seed=1,2")
    assert answer.code == 2
    assert "Type it without torchrun or srun" in answer.err
    assert not (tmp_path / "runs").exists()
