from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from entry.builders import loggers, open_loggers, wandb_logger
from run_folder import RunFolder, read_json, write_json
from tests.entry.builders.test_loggers import settings_with


def test_all_of_them_are_opened_and_write_into_the_folder(tmp_path):
    folder, settings = RunFolder(tmp_path), settings_with("csv", "wandb", "tensorboard")
    write_json(folder.environment, loggers.description(settings))
    with open_loggers.opened(settings, folder) as found:
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
    with open_loggers.opened(settings, folder) as found:
        assert [type(each) for each in found] == [TensorBoardLogger]
    assert "The logger wandb cannot be used" in caplog.text
