"""CSV tables: label spaces, crosswalks, splits, lists of samples."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from datamodules.splits.listed import read_split_lists
from datamodules.splits.sample_table import Candidate
from datamodules.splits.split import make_table
from label_spaces import crosswalk
from label_spaces.csv_files import read_space
from label_spaces.space import LabelSpace
from run_files import read_csv
from settings.data import DataSettings
from tests.fuzz.mutations import changed_table, check, fuzzed, profile

OWN, SOURCE = LabelSpace("own", ("road", "car", "sky")), LabelSpace("source", ("a", "b", "c"))
CANDIDATES = [Candidate(f"a/{i}.png", f"d{i}", "x" if i % 2 else "y") for i in range(1, 6)]


def split(file: Path) -> None:
    keys = {"root": str(file.parent), "split": str(file), "split_by": "sample", "image_size": (8, 8), "cache": False, "num_workers": 0}  # fmt: skip
    make_table(CANDIDATES, DataSettings(name="x", cache_dir=str(file.parent), batch_size=4, eval_batch_size=4, **keys))


def lists(file: Path) -> None:
    file.with_name("val.txt").write_text("a/3\n")
    read_split_lists(file.parent, "{split}.txt", [each.name for each in CANDIDATES])


# By name: the name of the file, what is valid in it, what reads it.
TABLES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "label space": ("a.csv", "name,id,red,green,blue,void\nroad,0,1,2,3,no\ncar,1,4,5,6,no\nsky,2,7,8,9,yes\n", read_space),
    "colours": ("a.csv", "name,colour\nroad,#010203\ncar,#040506\n", read_space),
    "labelmap": ("a.txt", "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142::\n", read_space),
    "crosswalk": (
        "a.csv",
        "source,target,relation,covers,ambiguous,note\na,road,equal,,no,\nb,car;sky,superset,full,,\nc,,none,,,\n",
        lambda file: crosswalk.read(file, SOURCE, OWN),
    ),
    "split": ("a.csv", "sample,group,target,split\na/1.png,d1,x,train\na/2.png,d1,y,train\na/3.png,d2,x,val\na/4.png,d3,y,test\n", split),
    "lists": ("train.txt", "a/1\na/2.png x\n", lists),
    "run": ("a.csv", "epoch,val/loss\n0,1.5\n1,\n", read_csv),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_the_valid_tables_are_read(tmp_path: Path, kind: str) -> None:
    name, text, read = TABLES[kind]
    assert check(tmp_path / name, text.encode(), lambda: read(tmp_path / name)) == 0


@fuzzed(40, 500)
@pytest.mark.parametrize("kind", TABLES)
def test_changed_tables(tmp_path: Path, kind: str, cases: int) -> None:
    name, text, read = TABLES[kind]
    refused = 0

    @profile(cases)
    @given(changed_table(text))
    def run(content: bytes) -> None:
        nonlocal refused
        refused += check(tmp_path / name, content, lambda: read(tmp_path / name))

    run()
    assert refused > 0
