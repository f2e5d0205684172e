"""The lines that a run prints before its first step, for a tiny run that is written out here."""

from types import SimpleNamespace

import pytest
from torch import nn

from entry import console
from entry.evaluation.summary import print_ignored
from entry.hardware import Hardware
from label_spaces.space import LabelSpace


def data(classes=("red", "green"), unit="images", counts=None, notes=()):
    return SimpleNamespace(
        label_space=LabelSpace("toy", tuple(classes)), unit=unit, notes=notes,
        counts=lambda: counts or {"train": {"red": 1200, "green": 3}, "val": {"red": 1}},
        table=SimpleNamespace(indices=lambda split: range({"train": 7, "val": 2}[split])),
    )  # fmt: skip


def run(datamodule, ranks=1, note=""):
    settings = SimpleNamespace(
        data=SimpleNamespace(image_size=(48, 64), batch_size=16), model=SimpleNamespace(name="tiny"),
        aug=SimpleNamespace(name="none"), trainer=SimpleNamespace(max_epochs=3, max_steps=None),
    )  # fmt: skip
    return SimpleNamespace(
        settings=settings, datamodule=datamodule, machine=Hardware("cpu", "a processor", "32-true", 2, ranks),
        weights=SimpleNamespace(note=note, used="none"), facts={"parameters": sum(each.numel() for each in nn.Linear(99, 100).parameters())},
    )  # fmt: skip


def printed(capsys):
    out, err = capsys.readouterr()
    assert err == ""
    return [line.rstrip() for line in out.splitlines()]


def test_a_run_is_announced_with_its_classes_model_and_hardware(capsys):
    console.announce(run(data(notes=["one image is small"]), note="3 tensors were left out"))
    assert printed(capsys) == [
        "toy: 2 classes, images of each",
        "class       train  val",
        "red         1,200    1",
        "green           3    0",
        "all images  1,203    1",
        "note: one image is small",
        "weights: 3 tensors were left out",
        "tiny: 0.01 M parameters, weights none, images 64×48, aug none, batch 16, 3 epochs",  # 99 · 100 + 100 of them
        "cpu (a processor), precision 32-true, 2 threads",
    ]


def test_masks_have_pixels_and_frames_and_several_ranks_are_named(capsys):
    counts = {"train": {"red": 10, "green": 20}, "val": {"red": 5, "green": 0}}
    console.announce(run(data(unit="pixels", counts=counts), ranks=2))
    lines = printed(capsys)
    assert lines[0] == "toy: 2 classes, pixels of each"
    assert lines[4:6] == ["all pixels     30    5", "frames          7    2"]
    assert lines[-1] == "cpu (a processor), precision 32-true, 2 processes of 2 threads"


@pytest.mark.parametrize(("classes", "more"), [(30, []), (33, ["… 3 more"])])
def test_at_most_thirty_classes_are_listed_and_all_are_counted(capsys, classes, more):
    names = [f"c{i:02}" for i in range(classes)]
    console.announce(run(data(names, counts={"train": dict.fromkeys(names, 2)})))
    lines = printed(capsys)
    assert lines[2:32] == [f"{name:10}  {2:5}" for name in names[:30]]
    assert lines[32:-2] == [*more, f"all images  {2 * classes:5}"]


@pytest.mark.parametrize(
    ("typed", "folder_was_typed", "lines"),
    [
        (["data.num_workers", "split"], False, []),
        (["data.fraction", "data.split.train", "seed"], False,
         ["note: data.fraction, data.split.train is ignored with run=: the split is the run's own split.csv.",
          "note: seed is ignored with run=: it has no effect on what a trained model predicts or how it is scored."]),
        (["optimizer.lr", "aug", "data.batch_size", "logger"], False,
         ["note: optimizer.lr, aug, data.batch_size, logger is ignored with run=: it has no effect on what a trained model predicts or how it is scored."]),
        (["run", "checkpoint", "data.root", "data.eval_size", "evaluation.flip", "trainer", "trainer.precision", "report.predictions"],
         False, []),
        ([], True, ["note: hydra.run.dir is ignored with run=: an evaluation lies in the folder of its run."]),
    ],
)  # fmt: skip
def test_what_is_ignored_with_run_is_named(capsys, typed, folder_was_typed, lines):
    print_ignored(SimpleNamespace(typed_keys=typed, folder_was_typed=folder_was_typed))
    assert printed(capsys) == lines


def test_names_in_brackets_and_between_colons_are_printed_as_they_are(capsys):
    names = ["[red]", "[/b] :car:", "[bold]x"]
    console.announce(
        run(data(names, counts={"train": dict.fromkeys(names, 2)}, notes=["type data.classes=[road,sky]"]))
    )
    lines = printed(capsys)
    assert [line.rsplit(maxsplit=1)[0].rstrip() for line in lines[2:5]] == names
    assert "note: type data.classes=[road,sky]" in lines


def test_a_name_stays_on_its_line_and_does_not_change_the_terminal(capsys):
    names = ["a\nb", "\x1b[31mc", "d\u2028e", "सड़क"]
    console.announce(run(data(names, counts={"train": dict.fromkeys(names, 2)}, notes=["f\rg"])))
    lines = printed(capsys)
    assert [line.split()[0] for line in lines[2:6]] == [r"a\nb", r"\x1b[31mc", r"d\u2028e", "सड़क"]
    assert lines[7] == r"note: f\rg"
