from pathlib import Path

import pytest
import yaml

from settings.model import LOSSES
from settings.run import RequestKeys, RunSettings, validated
from tests.settings.conftest import SEGMENTS, changed

OLD = Path(__file__).resolve().parents[1] / "fixtures/old_runs"


@pytest.mark.parametrize("name", ["classification", "segmentation"])
def test_the_configuration_of_an_older_run_is_read_and_written_as_it_is(name):
    values = yaml.safe_load((OLD / name / "config.yaml").read_text())
    written = validated(RunSettings, values).to_dict()
    assert written.pop("loss") == {**values["loss"], "_target_": LOSSES[values["loss"]["name"]]}
    assert written == {key: value for key, value in values.items() if key != "loss"}


def test_what_is_legal_for_masks_is_accepted():
    keys = {
        "evaluation.window": [8, 8],
        "evaluation.scales": [0.5, 1],
        "report.predictions": True,
        "data.label_space": "idd_lite",
    }
    assert validated(RunSettings, changed({**keys, **SEGMENTS})).evaluation.window == (8, 8)


def test_the_paths_of_a_request_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = validated(RequestKeys, {"run": "r", "source": "s", "checkpoint": "c.ckpt", "crosswalk": "x.csv"})
    assert [keys.run, keys.source, keys.checkpoint, keys.crosswalk] == [
        str(tmp_path / name) for name in ("r", "s", "c.ckpt", "x.csv")
    ]
    assert validated(RequestKeys, {"checkpoint": "last"}).checkpoint == "last"


def test_files_of_label_spaces_are_absolute_paths_and_names_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for typed, kept in (
        ("a.csv", str(tmp_path / "a.csv")),
        ("labelmap.txt", str(tmp_path / "labelmap.txt")),
        ("voc21", "voc21"),
    ):
        assert validated(RequestKeys, {"predictions_label_space": typed}).predictions_label_space == kept
