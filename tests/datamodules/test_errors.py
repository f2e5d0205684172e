import errno

import pytest
from torch._utils import ExceptionWrapper

from datamodules.errors import DatasetError, Defect, UnreadableError, grouped, shortened


def test_long_lists_are_cut_and_counted():
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened([1, 2, 3, 4], 2) == "1, 2 and 2 more"
    assert shortened(["a", "b", "c"], 1, "\n  ") == "a\n  and 2 more"
    assert shortened([], 2) == ""


def test_files_of_one_cause_share_a_line():
    unlike = [Defect("a.jpg", "has no mask a.png", "has no mask"), Defect("b.jpg", "empty")]
    assert grouped(unlike) == ["a.jpg: has no mask a.png", "b.jpg: empty"]
    alike = [Defect(f"{n}.jpg", f"has no mask {n}.png", "has no mask") for n in range(7)]
    assert grouped([*alike, unlike[1]]) == [
        "7 files (0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more): has no mask",
        "b.jpg: empty",
    ]


def read_error(number):
    error = DatasetError("/data/a.png: a reason.")
    error.__cause__ = OSError(number, "a reason", "/data/a.png")
    return error


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR])
def test_a_file_that_has_gone_is_named_with_what_to_do(number):
    assert str(UnreadableError.after(read_error(number))) == (
        "/data/a.png: a reason. It could be read when the run began: restore it, and type python train.py resume=RUN_FOLDER"
    )


def test_a_damaged_one_has_no_cause_of_the_system():
    assert str(UnreadableError.after(DatasetError("/data/a.png: damaged"))).startswith("/data/a.png: damaged. It could")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_an_error_of_the_machine_is_no_matter_of_a_file_and_never_skipped(number):
    error = read_error(number)
    with pytest.raises(OSError, match="a reason") as raised:
        UnreadableError.after(error)
    assert raised.value is error.__cause__


def test_of_the_traceback_that_a_worker_passes_on_the_message_is_left():
    error = UnreadableError("a.png: gone; UnreadableErrors: none")
    with pytest.raises(UnreadableError) as raised:
        ExceptionWrapper((type(error), error, None), "in DataLoader worker process 0").reraise()
    assert str(raised.value) == "a.png: gone; UnreadableErrors: none"
