from types import SimpleNamespace

import pytest

from reports.speed_limit import speed_limit

CPU = {"accelerator": "cpu", "cores": 8, "devices": 1, "precision": "32-true"}
GPU = {"accelerator": "gpu", "cores": 16, "devices": 2, "precision": "32-true"}


def settings(transform=None, **data):
    return SimpleNamespace(
        data=SimpleNamespace(**{"cache": "auto", "load_size": None, **data}),
        aug=SimpleNamespace(transform=transform),
        trainer=SimpleNamespace(channels_last=True),
    )


PLAIN = settings()
ROAD = settings({"_target_": "a.pipeline"}, cache=True, load_size=[720, 1280])


def rows(steps, waited, **columns):
    return [{"steps": steps, "waited": waited, "workers": "1", "cached": "0", **columns}] * 2


@pytest.mark.parametrize(
    ("timing", "environment", "settings", "by", "text"),
    [
        (rows("10.0", "8.0"), CPU, PLAIN, "loader",
         ("loader: of 20.0 s of training steps 16.0 s waited for images (80%), 4.0 s computed. "
         "What would help: data.cache=true, data.num_workers=7 (now 1)")),
        (rows("10.0", "8.0", workers="7", cached="1"), CPU, PLAIN, "loader",
         "loader: of 20.0 s of training steps 16.0 s waited for images (80%), 4.0 s computed. What would help: more cores for the loader"),
        (rows("10.0", "0.5"), CPU, PLAIN, "device",
         ("device (cpu): of 20.0 s of training steps 1.0 s waited for images (5%), 19.0 s computed. "
         "What would help: a smaller data.image_size or model, a GPU")),
        # The process waited for 8 s of 10, in which the GPU was idle for 1 s only.
        (rows("10.0", "8.0", idle="1.0"), GPU, ROAD, "device",
         ("device (gpu): of 20.0 s of training steps 2.0 s waited for images (10%), 18.0 s computed. What would help: data.num_workers=7 (now 1), "
         "a smaller data.load_size, a simpler aug, trainer.precision=auto, a smaller data.image_size or model, trainer.devices=auto where there are more GPUs")),
        (rows("10.0", "11.0"), {"accelerator": "mps"}, PLAIN, "loader",
         "loader: of 20.0 s of training steps at most 20.0 s waited for images (100%), 0.0 s computed. What would help: data.cache=true"),
        # As earlier versions wrote it.
        ([{"steps": "4", "waited": "1"}], {}, PLAIN, "device",
         ("device (cpu): of 4.0 s of training steps 1.0 s waited for images (25%), 3.0 s computed. "
         "What would help: data.cache=true, a smaller data.image_size or model, a GPU")),
    ],
)  # fmt: skip
def test_the_limit_has_its_seconds_and_the_keys_that_change_it(timing, environment, settings, by, text):
    found = speed_limit(timing, environment, settings)
    assert (found.by, found.text) == (by, text)
    assert found.share == found.waited / found.steps


def test_without_timing_no_limit_is_known():
    assert speed_limit([], CPU, PLAIN) is None
