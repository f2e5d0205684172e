from callbacks.step_seed import StepSeed
from tests.callbacks.tiny import Line, loader, trainer


def drawn(tmp_path, seed, epochs=2):
    module = Line()
    trainer(tmp_path, [StepSeed(seed)], epochs=epochs).fit(module, loader(), loader())
    return module.drawn


def test_what_a_step_draws_follows_from_seed_and_step(tmp_path):
    first = drawn(tmp_path, seed=0)
    assert first == drawn(tmp_path, seed=0)
    assert len(set(first)) == 8
    assert not set(first) & set(drawn(tmp_path, seed=1))
