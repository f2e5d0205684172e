"""What is no longer as it was when a run was made; whole evaluations are in tests/test_evaluate.py and tests/test_provenance.py."""

from types import SimpleNamespace

from entry.evaluation.assemble import differences
from run_folder import RunFolder


def data(contents, **splits):
    samples = [SimpleNamespace(name=name, split=split) for name, split in splits.items()]
    return SimpleNamespace(table=SimpleNamespace(samples=samples), contents=contents)


def test_samples_with_other_files_are_named_with_what_differs(tmp_path):
    folder = RunFolder(tmp_path)
    now = {"a": ("1", "2"), "b": ("3", "9"), "c": ("8", "9"), "d": ("5", "6")}
    datamodule = data(now, a="test", b="test", c="train", d="test", e="test")
    assert differences(folder, datamodule, ["test"]) == []  # a run of an earlier version has no files.csv
    folder.files.write_text("sample,image,truth\na,1,2\nb,3,4\nc,3,4\ne,1,1\n")
    [of_test] = differences(folder, datamodule, ["test"])
    assert of_test.startswith("1 samples have other files than when the run was made: b (truth).")
    [of_all] = differences(folder, datamodule)
    assert "b (truth), c (image and truth)" in of_all
