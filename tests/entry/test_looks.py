"""What `evaluation` may say, for which task, and what a run from before it is evaluated with."""

import pytest
import yaml

from entry.config.resolve import of_run, resolved, to_yaml
from entry.errors import RequestError
from entry.looks import looks
from entry.resume import HARMLESS
from run_folder import RunFolder
from tests.entry.config.test_resolve import request

MASKS = ("model=deeplabv3_mobilenet_v3_large",)  # of the embedded streets
SIZE = r"must be \[height,width\] in pixels or null"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([*MASKS, "evaluation.flip=maybe"], r"evaluation\.flip=maybe: must be true or false"),
        ([*MASKS, "evaluation.scales=[]"], r"evaluation\.scales=\[\]: must be a list of numbers above 0"),
        ([*MASKS, "evaluation.scales=1.5"], r"evaluation\.scales=1\.5: must be a list"),
        ([*MASKS, "evaluation.scales=[1.0,-1]"], r"evaluation\.scales=\[1\.0, -1\]"),
        ([*MASKS, "evaluation.window=512"], rf"evaluation\.window=512: {SIZE}"),
        ([*MASKS, "evaluation.window=[512,0]"], rf"evaluation\.window=\[512, 0\]: {SIZE}"),
        ([*MASKS, "evaluation.window=[8,8]", "evaluation.stride=[4]"], rf"evaluation\.stride=\[4\]: {SIZE}"),
        ([*MASKS, "evaluation.stride=[4,4]"], r"stride=\[4, 4\] goes with evaluation\.window="),
        ([*MASKS, "evaluation.window=[8,8]", "evaluation.stride=[4,9]"], "pixels between windows would be left out"),
        ([*MASKS, "+evaluation.rotate=true"], r"There is no key 'evaluation\.rotate'"),
        (["evaluation=true"], r"it is not one value but has some below it: evaluation\.flip, "),
        (["evaluation.scales=[0.5,1.0]"], "model=custom_cnn says one class for a whole image: only evaluation.flip=true"),
        (["evaluation.window=[8,8]"], r"evaluation\.window=\[8, 8\] goes with segmentation"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_answered_by_name(tmp_path, typed, says):
    with pytest.raises(RequestError, match=says):
        resolved(request(tmp_path, *typed))


def test_what_is_left_out_is_found(tmp_path):
    plain = looks(resolved(request(tmp_path)))
    assert plain == {"flip": False, "scales": [1.0], "window": None, "stride": None}
    assert looks(resolved(request(tmp_path, "evaluation.flip=true")))["flip"] is True
    config = resolved(request(tmp_path, *MASKS, "evaluation.window=[512,100]"))
    assert looks(config)["stride"] == [342, 67]  # two thirds, rounded up


def test_a_run_takes_other_looks_also_where_it_is_older_than_they_are(tmp_path):
    config = resolved(request(tmp_path))
    folder = RunFolder(tmp_path / "run")
    folder.claim(to_yaml(config), [])
    typed = request(tmp_path, f"run={folder.path}", "evaluation.flip=true", name="evaluate")
    assert of_run(typed)[1]["evaluation"] == {**config["evaluation"], "flip": True}
    del config["evaluation"]
    folder.config.write_text(yaml.safe_dump(config))
    assert looks(of_run(request(tmp_path, f"run={folder.path}", name="evaluate"))[1])["flip"] is False
    assert looks(of_run(typed)[1]) == {"flip": True, "scales": [1.0], "window": None, "stride": None}


def test_they_are_no_part_of_the_training():
    assert "evaluation.flip".startswith(HARMLESS)
