"""A run's config.yaml: read as it was written, and with typed keys in place of its own."""

import pytest
import yaml

from entry.config.resolve import resolved
from entry.config.run_config import of_run, read_settings
from entry.errors import RequestError
from run_folder import RunFolder, RunFolderError
from tests.entry.config.test_resolve import request


@pytest.fixture
def run(tmp_path):
    """A run folder that holds a configuration."""
    folder = RunFolder(tmp_path / "runs" / "one")
    typed = ("data=image_folder", f"data.root={tmp_path}", "trainer.max_epochs=3")
    folder.claim(resolved(request(tmp_path, *typed)).to_yaml(), [])
    (folder.checkpoints / "best.ckpt").touch()
    return folder


def test_what_was_written_is_read(tmp_path, run):
    assert read_settings(run, ()).to_yaml() == run.config.read_text()


def test_a_run_of_an_earlier_version_need_not_have_a_key(tmp_path, run):
    config = yaml.safe_load(run.config.read_text())
    del (
        config["model"]["partial"],
        config["trainer"]["progress"],
        config["loss"]["auxiliary"],
        config["evaluation"],
        config["callbacks"],
    )
    run.config.write_text(yaml.safe_dump(config))
    settings = of_run(request(tmp_path, f"run={run.path}", name="evaluate"))[1]
    assert (settings.model.partial, settings.trainer.progress, settings.loss.auxiliary) == (False, "auto", 0.4)
    assert not settings.evaluation.flip
    typed = request(tmp_path, f"run={run.path}", "evaluation.flip=true", name="evaluate")
    assert of_run(typed)[1].evaluation.flip


def test_a_typed_key_replaces_the_runs_own_and_nothing_else(tmp_path, run):
    before = yaml.safe_load(run.config.read_text())
    folder, settings = of_run(
        request(tmp_path, f"run={run.path}", "data.eval_batch_size=7", "split=val", name="evaluate")
    )
    assert folder.path == run.path
    before["data"]["eval_batch_size"] = 7
    assert settings.to_dict() == before
    assert settings.trainer.max_epochs == 3


def test_one_machine_evaluates_a_run_of_several(tmp_path, run, monkeypatch):
    config = yaml.safe_load(run.config.read_text())
    config["trainer"]["num_nodes"] = 2
    run.config.write_text(yaml.safe_dump(config))
    evaluate = request(tmp_path, f"run={run.path}", name="evaluate")
    assert of_run(evaluate)[1].trainer.num_nodes == 1
    assert (
        of_run(request(tmp_path, f"run={run.path}", "trainer.num_nodes=3", name="evaluate"))[1].trainer.num_nodes == 3
    )
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert of_run(evaluate)[1].trainer.num_nodes == 2


def test_a_typed_group_replaces_its_subtree(tmp_path, run):
    trainer = of_run(request(tmp_path, f"run={run.path}", "trainer=cpu", "trainer.threads=1", name="evaluate"))[
        1
    ].trainer
    assert (trainer.accelerator, trainer.threads, trainer.max_epochs) == ("cpu", 1, 10)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model=resnet18", "model= makes no sense with run="),
        ("model.weights=none", r"model\.weights= makes no sense with run="),
        (
            "data=synthetic_idd",
            "data=synthetic_idd makes no sense with run= or resume=: the run was made on image_folder",
        ),
        ("+trainer.speed=3", "can be replaced, not added"),
    ],
)
def test_what_makes_no_sense_with_a_run_is_refused(tmp_path, run, typed, message):
    with pytest.raises(RequestError, match=message):
        of_run(request(tmp_path, f"run={run.path}", typed, name="evaluate"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"^run=.*no such folder"):
        of_run(request(tmp_path, f"run={tmp_path / 'absent'}", name="evaluate"))
    with pytest.raises(RequestError, match="run is missing"):
        of_run(request(tmp_path, name="evaluate"))


def doubled(several, one):
    """YAML in which each line has the one before several times."""
    return "\n".join(f"a{i}: &a{i} {several.format(i - 1) if i else one}" for i in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is damaged"),
        ("just a text", "not a run's configuration"),
        ("a: &a [1, *a]", "write what an anchor"),
        (doubled("[*a{0}, *a{0}, *a{0}]", "[x]"), "write what an anchor"),  # 3**40 items
        (doubled("{{<<: [*a{0}, *a{0}]}}", "{x: 1}"), "write what an anchor"),  # 2**40 keys to be merged
        ("a: " + "[" * 100_000, "nested in more than 100 levels"),
        ("a: 2021-99-99", "is damaged"),
        ("a: " + "9" * 5000, "is damaged"),
        ("? [a, b]\n: 1", "is damaged"),
        ("a: '" + "x" * 2**20 + "'", "has more than 1048576 bytes"),
        ("seed: 1", "data is missing"),
        ("trainer: {max_epochs: many}", r"trainer\.max_epochs=many: must be a whole number"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, run, text, message):
    run.config.write_text(text)
    with pytest.raises(RequestError, match=message) as refusal:
        of_run(request(tmp_path, f"run={run.path}", name="evaluate"))
    assert str(run.config) in str(refusal.value)


def test_a_run_folder_cannot_allow_a_package(tmp_path, run):
    run.config.write_text(f"allow: [os]\n{run.config.read_text()}")
    with pytest.raises(RequestError, match="There is no key 'allow'"):
        read_settings(run, ())


def test_a_group_that_is_taken_out_has_its_default(tmp_path, run):
    assert of_run(request(tmp_path, f"run={run.path}", "~logger", name="evaluate"))[1].logger.name == "csv"


def test_a_missing_checkpoint_is_named(tmp_path, run):
    with pytest.raises(RunFolderError, match="checkpoint=last: there is no "):
        of_run(request(tmp_path, f"run={run.path}", "checkpoint=last", name="evaluate"))


@pytest.mark.parametrize("target", ["os.system", "subprocess.Popen", "torch.hub.load"])
def test_what_a_run_folder_names_is_checked_before_it_is_built(run, target):
    run.config.write_text(run.config.read_text().replace("_target_: torch.optim.Adam", f"_target_: {target}"))
    assert target in run.config.read_text()
    with pytest.raises(RequestError, match=rf"optimizer\._target_={target} is not built"):
        read_settings(run, ())
