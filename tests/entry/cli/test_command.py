"""Commands: what they print, with which code they exit, and what they leave behind."""

import os
import signal
import subprocess
import sys

import pytest

from callbacks.errors import RunStopped
from entry.cli import command as commands
from entry.errors import IncompleteError, RequestError
from entry.request import PROJECT
from lightning_modules.errors import TrainingError
from tests.conftest import in_this_process


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run a task as a command: (exit code, stdout, stderr)."""

    def run(task, *arguments):
        monkeypatch.chdir(tmp_path)
        basic = in_this_process(arguments)
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments, *basic])
        with pytest.raises(SystemExit) as end:
            commands.command("train")(task)()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def raising(error):
    def task(request):
        raise error

    return task


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("not like this"), 2),
        (TrainingError("not like this"), 1),
        (IncompleteError("not like this"), 1),
        (KeyboardInterrupt(), 130),
        (RunStopped(15), 143),
        (ZeroDivisionError("not like this"), 1),
    ],
)
def test_exit_codes(command, tmp_path, error, code):
    got, _, err = command(raising(error))
    assert got == code
    assert ("Traceback" in err) == isinstance(error, ZeroDivisionError)  # only bugs keep theirs
    assert list(tmp_path.iterdir()) == []  # no folder for a request that was refused


def test_done(command):
    assert command(lambda request: print(request.overrides), "seed=3") == (0, "('seed=3',)\n", "")


@pytest.mark.parametrize("typed", ["seed=${nothing}", "seed=${oc.env:NOT_SET_ANYWHERE}", "seed=${data.split_seed}"])
def test_overrides_stay_as_typed_whatever_they_refer_to(command, typed):
    assert command(lambda request: print(request.overrides[0]), typed) == (0, f"{typed}\n", "")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("modle=resnet18", "There is no key 'modle'; did you mean model?"),
        ("optimizer.lrr=1", "There is no key 'optimizer.lrr'; did you mean optimizer.lr"),
        (
            "model=resnet19",
            "model=resnet19: there is no such option. Choose one of: custom_cnn, deeplabv3_mobilenet_v3_large, deeplabv3_resnet101, deeplabv3_resnet50, fcn_resnet101, fcn_resnet50, lraspp_mobilenet_v3_large, resnet18, smp, timm, torchvision",
        ),
        ("data.root=/my data/a=b", "need quotes of their own"),
        ("data.root=Straße", "cannot be read: data.root=Straße. Values with spaces, letters beyond a to z or any of ~"),
        ("data.root=~/pictures", "cannot be read: data.root=~/pictures"),
        ("aug=null", "aug=null: aug cannot be null; give one of flip_rotate, none, road. For none type ~aug."),
        ("evaluation=[flip]", "evaluation=[flip]: a list cannot stand here"),
        ("--experimental-rerun=x.pickle", "--experimental-rerun is not allowed"),
        ("--nonsense", "unrecognized arguments: --nonsense\nSettings are typed key=value"),
        ("--resolve", "--resolve goes with --cfg"),
    ],
)
def test_hydras_errors_become_sentences(command, tmp_path, typed, message):
    code, out, err = command(raising(AssertionError("must not be reached")), typed)
    assert (code, out) == (2, "")
    assert message in err
    assert not any(word in err for word in ("HYDRA_FULL_ERROR", "Traceback", "Exception"))
    assert list(tmp_path.iterdir()) == []


def test_an_option_amid_the_settings_is_told_its_place(command):
    code, _, err = command(raising(AssertionError("must not be reached")), "seed=1", "-m", "trainer.max_epochs=1,2")
    assert code == 2
    assert err.startswith("unrecognized arguments: ")
    assert "options such as -m stand before them: python train.py -m" in err


def test_a_key_that_only_another_option_has_is_not_its_own_suggestion(command):
    code, _, err = command(raising(AssertionError("must not be reached")), "data=image_folder", "data.riders=drop")
    assert (code, "did you mean" in err) == (2, False)
    assert "There is no key 'data.riders' with the options that were chosen; others have it. All keys:" in err


def test_a_typed_folder_is_used_and_what_was_there_stays(command, tmp_path):
    (tmp_path / "mine").mkdir()
    code, _, _ = command(raising(RequestError("no")), f"hydra.run.dir={tmp_path}/mine/run")
    assert code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    seen = []
    command(seen.append, f"hydra.run.dir={tmp_path}/mine/run")
    assert (str(seen[0].folder), seen[0].folder_was_typed) == (f"{tmp_path}/mine/run", True)


def sweeping(*codes):
    """A task whose jobs end as their seed decides, and leave a file where they are done."""
    errors = {1: TrainingError("it went wrong"), 2: RequestError("not like this"), 143: RunStopped(15)}

    def task(request):
        code = codes[request.config.seed]
        if code:
            raise errors[code]
        (request.folder / "done").touch()

    return task


@pytest.mark.parametrize(
    ("codes", "ends", "left"),
    [
        ((0, 0), 0, ["0", "1"]),
        ((2, 0), 2, ["1"]),
        ((0, 2, 0), 2, ["0", "2"]),
        ((1, 2, 0), 1, ["2"]),
        ((2, 1, 0), 1, ["2"]),
        ((0, 143, 0), 143, ["0"]),  # whoever stops it means the whole of it
        ((2, 2), 2, None),
    ],
)
def test_a_job_that_fails_or_is_refused_does_not_end_a_sweep(command, tmp_path, codes, ends, left):
    got, _, err = command(sweeping(*codes), "-m", f"seed={','.join(map(str, range(len(codes))))}")
    assert got == ends
    assert "Traceback" not in err
    sweeps = list(tmp_path.glob("runs/*/*"))
    if left is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert [sorted(path.name for path in sweep.iterdir()) for sweep in sweeps] == [left]
    for number, code in enumerate(codes):
        messages = {
            1: f"it went wrong\nJob {number} (seed={number}) failed.",
            2: f"not like this\nJob {number} (seed={number}) was refused.",
        }
        assert (code not in messages) or messages[code] in err


def test_a_sweep_into_a_folder_that_is_there_leaves_what_was_in_it(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").touch()
    assert command(sweeping(2, 0), "-m", "seed=0,1", "hydra.sweep.dir=mine")[0] == 2
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["1", "note"]


def test_a_sweep_that_hydra_refuses_leaves_nothing(command, tmp_path):
    code, out, err = command(raising(AssertionError("must not be reached")), "-m", "model=custom_cnn,no_such")
    assert (code, out) == (2, "")
    assert (
        "model=no_such: there is no such option. Choose one of: custom_cnn, deeplabv3_mobilenet_v3_large, deeplabv3_resnet101, deeplabv3_resnet50, fcn_resnet101, fcn_resnet50, lraspp_mobilenet_v3_large, resnet18, smp, timm, torchvision"
        in err
    )
    assert list(tmp_path.iterdir()) == []


def test_what_hydra_says_in_the_middle_of_a_sweep_is_heard(command, tmp_path):
    typed = ["-m", "model=custom_cnn,no_such", "hydra.sweeper.max_batch_size=1"]
    code, _, err = command(sweeping(0), *typed)
    assert code == 2
    assert "model=no_such: there is no such option" in err
    assert [path.name for path in tmp_path.glob("runs/*/*/*")] == ["0"]
    code, _, err = command(sweeping(1), *typed)
    assert code == 1
    assert "model=no_such: there is no such option" in err


def test_a_folder_that_cannot_be_made_is_named(command, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = command(raising(AssertionError("must not be reached")), "hydra.run.dir=file/run")
    assert (code, out) == (2, "")
    assert err == "The run folder cannot be made: Not a directory: 'file/run'\n"


def test_a_sweeps_folder_that_cannot_be_made_is_named_and_the_next_command_is_not_disturbed(command, tmp_path):
    (tmp_path / "file").touch()
    never = raising(AssertionError("must not be reached"))
    code, out, err = command(never, "-m", "hydra.sweep.dir=file/sweep", "seed=0,1")
    assert (code, out) == (2, "")
    assert err.startswith("The run folder cannot be made: Not a directory: ")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR2", "SIGTERM", "SIGXCPU"])
def test_a_signal_at_any_moment_ends_with_its_code_and_leaves_no_folder(command, tmp_path, name):
    """As during the preparation of data, before a run has begun to handle signals itself."""
    number = getattr(signal, name)
    before = signal.getsignal(number)
    code, out, err = command(lambda request: os.kill(os.getpid(), number))
    assert (code, out, err) == (128 + number, "", f"stopped by {name}\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("code", "ends"), [(130, 130), (143, 143), (0, -signal.SIGINT), (2, -signal.SIGINT)])
def test_a_signal_while_python_shuts_down_does_not_change_the_code_of_what_was_stopped(code, ends):
    """Python resets all handlers before it deletes what modules hold: a second Ctrl-C often comes at that moment."""
    program = f"""
import os, signal
from entry.cli import command

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)

last = Last()
command._run = lambda name, task: {code}
command.command("train")(None)()
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == ends


@pytest.mark.parametrize("hidden", ["fcntl"])
@pytest.mark.parametrize("name", ["train", "evaluate", "predict"])
def test_without_linux_there_is_one_sentence(name, hidden):
    """As on Windows, which lacks these modules and signals."""
    program = f"""
import signal, sys
sys.modules["{hidden}"] = None
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGKILL"):
    delattr(signal, name)
sys.argv = ["{name}.py"]
import {name}
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert "needs Linux" in answer.stderr
    assert "wsl --install" in answer.stderr


def test_signals_that_a_platform_lacks_are_not_missed():
    program = """
import signal
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGPWR"):
    delattr(signal, name)
import callbacks.errors, datamodules.loading.dataset
"""
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


def test_stray_variables_of_a_launcher_are_refused_at_once(command, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    code, out, err = command(raising(AssertionError("must not be reached")))
    assert (code, out) == (2, "")
    assert "env -u RANK -u WORLD_SIZE" in err


def test_the_folder_is_on_stderr_where_the_output_was_closed(tmp_path):
    program = f"""
import sys
from entry.cli.command import command
sys.argv = ["train.py", "hydra.run.dir={tmp_path}/run"]
command("train")(lambda request: print(*"abc", request.folder, sep=chr(10), flush=True))()
"""
    run = tmp_path / "run"
    run.mkdir()
    (run / "file").touch()
    typed = f"'{sys.executable}' -c '{program}' | true; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", typed], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, f"Standard output was closed before the end. The folder: {run}\n")


def test_a_backend_of_a_notebook_is_not_used(command, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://no.such_backend")
    assert command(lambda request: print(os.environ["MPLBACKEND"])) == (0, "agg\n", "")
