import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callbacks import mirror
from callbacks.mirror import Mirror
from run_folder import RunFolder, write_csv, write_text
from tests.callbacks.disks import no_files_above

ROOT = Path(__file__).resolve().parents[2]
LARGE = 20_000  # bytes of a checkpoint


def write(run, step, *, best=True):
    """What a run has on disk after a step."""
    folder = RunFolder(run)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(folder.config, "model: x\n")
    write_csv(folder.history, [{"epoch": each} for each in range(step)])
    for name in ["best", "last"] if best else ["last"]:
        write_text(folder.checkpoints / f"{name}.ckpt", f"{step} " * LARGE)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "runs/day/12-00-00_cnn", 1)
    return tmp_path / "runs/day/12-00-00_cnn"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "other_disk"


def test_it_has_every_byte_of_what_a_resume_needs_and_nothing_else(run, root, capsys):
    for name in ("evaluation/test/scores.json", "status.json", "checkpoints/last-00000001.ckpt", "wandb/x"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("not needed")
    needed = ("config.yaml", "overrides.txt", "environment.json", "split.csv", "files.csv", "label_space.json", "crosswalk.csv",
              "history.csv", "timing.csv", "skipped.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt")  # fmt: skip
    for name in needed:
        (run / name).write_text(f"content of {name}")
    copy = Mirror(run, root)
    copy.copy(1)
    copy.end()
    place = root / run.name
    assert contents(place) == {name: (run / name).read_bytes() for name in (*needed, "mirror.txt")}
    assert (run / "mirror.txt").read_text() == f"{place}\n"
    assert capsys.readouterr().err == f"mirror: {place}\n"


def test_only_what_changed_is_copied_again_and_equal_checkpoints_once(run, root):
    (run / "checkpoints/last.ckpt").unlink()
    os.link(run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt")
    copy, place = Mirror(run, root), root / run.name / "checkpoints"
    copy.copy(1)
    copy.end()
    assert (place / "best.ckpt").samefile(place / "last.ckpt")
    first = {name: (place / name).stat().st_ino for name in ("best.ckpt", "last.ckpt")}
    write(run, 2, best=False)
    copy.copy(2)
    copy.end()
    second = {name: (place / name).stat().st_ino for name in ("best.ckpt", "last.ckpt")}
    assert (second["best.ckpt"], second["last.ckpt"] == first["last.ckpt"]) == (first["best.ckpt"], False)
    assert contents(root / run.name) == contents(run)


def wait_until_idle(copy):
    assert copy.idle.wait(20)


def test_a_disk_that_is_full_leaves_the_copy_before_and_is_reported_at_once_and_at_the_end(run, root, capsys):
    copy, place = Mirror(run, root), root / run.name
    copy.copy(1)
    copy.end()
    before = contents(place)
    capsys.readouterr()
    write(run, 2)
    with no_files_above(LARGE):
        copy.copy(2)
        wait_until_idle(copy)
        copy.end()
    left = contents(place)
    assert left.pop("history.csv") != before.pop("history.csv")  # it may be newer than the checkpoints, never older
    assert left == before
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(
        f"warning: the mirror {place} cannot be written: [Errno 27] File too large. The training goes on"
    )
    assert last == (
        f"warning: the mirror {place}: 2 of 3 copies failed ([Errno 27] File too large); it has the checkpoint of "
        "step 1, the run that of step 2."
    )
    copy.copy(2)
    copy.end()
    assert contents(place) == contents(run)
    assert capsys.readouterr().err == ""


def test_a_disk_that_is_not_there_is_tried_again(run, root, capsys):
    root.write_text("a file")
    copy = Mirror(run, root)
    copy.copy(1)
    wait_until_idle(copy)
    root.unlink()
    write(run, 2)
    copy.copy(2)
    copy.end()
    assert contents(root / run.name) == contents(run)
    assert "1 of 2 copies failed ([Errno " in capsys.readouterr().err


def test_what_another_run_has_is_left_and_a_run_finds_its_own_again(run, root, capsys):
    def mirrored(folder, step):
        copy = Mirror(folder, root)
        copy.copy(step)
        copy.end()
        return Path((folder / "mirror.txt").read_text().strip())

    other = run.parent.parent / "another day" / run.name
    write(other, 5)
    first = mirrored(run, 1)
    kept = contents(first)
    assert mirrored(other, 5) == root / f"{run.name}_2"
    assert contents(first) == kept
    write(run, 2)
    (first / ".last.ckpt.1.2.tmp").touch()  # of a process that was killed
    assert mirrored(run, 2) == first  # a resumed run
    assert contents(first) == contents(run)
    job = run.parent / "12-00-00_sweep" / "7"
    write(job, 1)
    (job.parent / "sweep.json").write_text("{}")
    assert mirrored(job, 1) == root / "12-00-00_sweep" / "7"


def test_a_run_that_goes_on_in_its_mirror_has_none(run, root, capsys):
    copy = Mirror(run, root)
    copy.copy(1)
    copy.end()
    place = root / run.name
    write(place, 2)
    before = contents(place)
    resumed = Mirror(place, root)
    resumed.copy(2)
    resumed.end()
    assert (contents(place), [path.name for path in root.iterdir()]) == (before, [run.name])


def test_a_slow_disk_delays_nothing_and_has_the_newest_state_at_the_end(run, root, monkeypatch):
    monkeypatch.setattr(mirror.shutil, "copyfileobj", slowly(mirror.shutil.copyfileobj))
    copy, worst = Mirror(run, root), 0.0
    for step in range(1, 5):
        write(run, step)
        began = time.monotonic()
        copy.copy(step)
        worst = max(worst, time.monotonic() - began)
    assert worst < 0.1
    assert not (root / run.name / "checkpoints/last.ckpt").exists()
    copy.end()
    assert contents(root / run.name) == contents(run)


def slowly(plain, seconds=0.2):
    def call(*given):
        time.sleep(seconds)
        plain(*given)

    return call


KILLED = """
import itertools, sys, time
from pathlib import Path
from callbacks.mirror import Mirror
from tests.callbacks.test_mirror import write

run, root = Path(sys.argv[1]), Path(sys.argv[2])
copy = Mirror(run, root)
for step in itertools.count(1):
    write(run, step)
    copy.copy(step)
    print(step, flush=True)
"""


def test_killed_at_any_moment_it_is_whole_and_its_checkpoint_never_newer_than_its_history(tmp_path):
    for number in range(3):
        run, root = tmp_path / f"run{number}", tmp_path / "other_disk"
        typed = [sys.executable, "-c", KILLED, str(run), str(root)]
        process = subprocess.Popen(typed, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for line in process.stdout:
            if int(line) == 2 + 2 * number:
                break
        time.sleep(random.Random(number).uniform(0.0, 0.05))  # noqa: S311  nothing secret
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        place = root / run.name
        if not (place / "checkpoints/last.ckpt").exists():
            continue
        rows = (place / "history.csv").read_text().count("\n") - 1
        steps = {name: (place / f"checkpoints/{name}.ckpt").read_text().split() for name in ("best", "last")}
        assert all(len(found) == LARGE and len(set(found)) == 1 for found in steps.values())
        assert int(steps["last"][0]) <= int(steps["best"][0])
        assert int(steps["last"][0]) <= rows
