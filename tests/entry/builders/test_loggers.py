from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from entry.builders import loggers, wandb_logger
from run_folder import RunFolder, read_json, write_json
from settings.run import RunSettings, validated
from tests.settings.conftest import changed


def settings_with(*names):
    return validated(
        RunSettings, changed({"logger.name": list(names) if len(names) > 1 else names[0], "logger.project": "p"})
    )


def test_several_loggers_are_described_in_their_order_and_the_first_stays_the_logger():
    facts = loggers.description(settings_with("csv", "wandb"))
    assert [each["kind"] for each in facts["loggers"]] == ["csv", "wandb"]
    assert facts["logger"] == facts["loggers"][0] == {"kind": "csv", "id": None, "url": None}
    assert len(facts["loggers"][1]["id"]) == 8
    alone = loggers.description(settings_with("wandb"))
    assert alone["loggers"] == [alone["logger"]]


def test_a_logger_that_a_run_had_keeps_its_id():
    had = loggers.description(settings_with("wandb"))["loggers"]
    facts = loggers.description(settings_with("tensorboard", "wandb"), had)
    assert facts["loggers"] == [{"kind": "tensorboard", "id": None, "url": None}, had[0]]
    assert loggers.of_run({"logger": had[0]}) == had  # a run of an earlier version


def test_all_of_them_are_opened_and_write_into_the_folder(tmp_path):
    folder, settings = RunFolder(tmp_path), settings_with("csv", "wandb", "tensorboard")
    write_json(folder.environment, loggers.description(settings))
    with loggers.opened(settings, folder) as found:
        assert [type(each) for each in found] == [WandbLogger, TensorBoardLogger]
        for logger in found:
            logger.log_metrics({"loss": 1.0})
    [run] = (tmp_path / "wandb").glob("offline-run-*")
    assert run.name.endswith(read_json(folder.environment)["loggers"][1]["id"])
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, caplog):
    folder, settings = RunFolder(tmp_path), settings_with("wandb", "tensorboard")
    write_json(folder.environment, loggers.description(settings))

    def fail(*_, **__):
        raise OSError("no disk")

    monkeypatch.setattr(wandb_logger, "WandbLogger", fail)
    with loggers.opened(settings, folder) as found:
        assert [type(each) for each in found] == [TensorBoardLogger]
    assert "The logger wandb cannot be used" in caplog.text
