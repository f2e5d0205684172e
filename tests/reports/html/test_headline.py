from dataclasses import replace

import pytest

from reports.html.headline import commands, headline, trained_here


def with_scores(files, **scores):
    return replace(files, scores={**files.scores, **scores})


def test_the_judged_score_comes_first_with_its_baselines(images, masks):
    assert [each["name"] for each in headline(images)] == ["accuracy", "f1_macro", "f1_weighted"]
    first, *_ = headline(masks)
    assert (first["name"], first["label"], first["classes"], first["baselines"]) == (
        "miou",
        "mIoU",
        2,
        {"colour_row": 0.3},
    )
    assert first["value"] == pytest.approx((18 / 25 + 4 / 10) / 2)


@pytest.mark.parametrize(
    ("interval", "above"), [([0.4, 0.6], True), ([0.2, 0.6], None), ([0.1, 0.2], False), (None, None)]
)
def test_whether_the_whole_interval_is_above_the_best_baseline(images, interval, above):
    known = {"majority": {"accuracy": 0.3}, "colour": {"accuracy": 0.25}, "other": {"accuracy": None}}
    first = headline(with_scores(images, baselines=known, intervals={"accuracy": interval}))[0]
    assert (first["best"], first["above"]) == ("majority", above)


def test_without_baselines_or_intervals(images):
    first = headline(with_scores(images, baselines=None, intervals=None))[0]
    assert (first["best"], first["above"], first["interval"]) == (None, None, None)


def test_the_commands_repeat_the_run_and_the_evaluation(images):
    train, evaluate = commands(images)
    assert train == "python train.py optimizer.lr=0.01 'data.name=a b'"
    assert evaluate == f"python evaluate.py run={images.run.path} split=test checkpoint=best"
    flipped = replace(images, settings=images.settings.replace("flip: false", "flip: true"))
    assert commands(flipped)[1] == f"{evaluate} evaluation.flip=true"


def test_an_external_model_was_not_trained_here(images):
    external = with_scores(images, checkpoint={"file": None, "epoch": None, "step": None})
    assert not trained_here(external)
    assert commands(external) == ["python evaluate.py optimizer.lr=0.01 'data.name=a b'"]
