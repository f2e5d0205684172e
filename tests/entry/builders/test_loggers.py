from entry.builders import loggers
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
