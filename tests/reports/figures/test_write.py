import subprocess
import sys
from pathlib import Path

from reports.figures.confusion import confusion_figure
from reports.figures.write import write_figures
from tests.reports.figures.conftest import diagonal, names


def test_write_figures_writes_what_there_is(tmp_path):
    counts = {"train": {"class 0": 1, "class 1": 1}}
    folder = tmp_path / "new" / "figures"
    write_figures(folder, diagonal(2), names(2), "val", [], counts, "f1_macro", "images")
    assert {path.name for path in folder.iterdir()} == {"class_distribution.png", "confusion.png"}
    write_figures(folder, diagonal(2), names(2), "val", [{"epoch": 0, "val/loss": 1}], counts, "f1_macro", "images")
    assert {path.name for path in folder.iterdir()} == {
        "class_distribution.png",
        "confusion.png",
        "learning_curves.png",
    }


def test_the_same_figure_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        confusion_figure(diagonal(3), names(3), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_matplotlib_is_imported_late_and_without_global_figures():
    program = (
        "import sys, pathlib, numpy, tempfile; import reports.figures.write as figures; assert 'matplotlib' not in sys.modules;"
        "figures.confusion_figure(numpy.eye(3, dtype=int), 'ab', pathlib.Path(tempfile.mkdtemp()) / 'c.png');"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
