import pytest

from callbacks.finite_checks import FiniteLoss
from lightning_modules.errors import TrainingError
from tests.callbacks.tiny import Line, loader, trainer


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_step_of_a_bad_loss_is_named(tmp_path, bad):
    # Step 5 is the sixth; each epoch has four.
    with pytest.raises(TrainingError, match=rf"loss was {bad} at step 6 \(epoch 1\)"):
        trainer(tmp_path, [FiniteLoss()]).fit(Line({5: bad}), loader(), loader())


def test_good_losses_pass(tmp_path):
    run = trainer(tmp_path, [FiniteLoss()])
    run.fit(Line(), loader(), loader())
    assert run.global_step == 12
