"""What differs between two settings."""

from settings.changes import changes
from settings.run import RunSettings, validated
from tests.settings.conftest import changed


def settings(**keys):
    return validated(RunSettings, changed({key.replace("__", "."): value for key, value in keys.items()}))


def test_keys_are_dotted_and_have_the_later_values():
    one, other = settings(seed=3), settings(seed=7, optimizer__lr=0.5)
    assert changes(one, settings(seed=3)) == {}
    assert changes(one, other) == {"seed": 7, "optimizer.lr": 0.5}
    assert changes(other, one) == {"seed": 3, "optimizer.lr": 1e-3}


def test_a_key_that_only_one_has_is_named():
    plain, further = settings(), settings(optimizer__amsgrad=True)
    assert changes(plain, further) == {"optimizer.amsgrad": True}
    assert changes(further, plain) == {"optimizer.amsgrad": None}
