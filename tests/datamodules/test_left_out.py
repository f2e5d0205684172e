import pytest

from datamodules.errors import DatasetError
from datamodules.left_out import leave_out


def test_what_cannot_be_used_is_named_or_left_out(make_toy):
    broken = [(f"{n}.png", f"damaged at {n}") for n in range(22)]
    with pytest.raises(DatasetError, match=r"22 of 30 images under data\.root=.* cannot be read; .*skip:\n") as refusal:
        leave_out(make_toy(prepare=False), broken, 30, "images")
    assert str(refusal.value).endswith("\n  19.png: damaged at 19\n  and 2 more")
    module = make_toy(prepare=False, on_corrupt="skip")
    leave_out(module, [], 30, "images")
    leave_out(module, [("\udcff.png", "empty")], 30, "images", "used")
    assert module.skipped == [("\\udcff.png", "empty")]
    assert module.notes == ["Images that cannot be used: 1 of 30; they are left out (data.on_corrupt=skip)."]
