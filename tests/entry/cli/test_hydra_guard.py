"""What Hydra would build before a command starts: nothing that the user brings."""

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from entry.cli import command as commands
from tests.conftest import in_this_process
from tests.entry.config.test_allowlist import Payload, typed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def logging_as_before():
    """Hydra's logging options count for a whole process: later tests of this one must see messages again."""

    def loggers():
        named = logging.root.manager.loggerDict.values()
        return [logging.root, *(logger for logger in named if isinstance(logger, logging.Logger))]

    before = {logger: (logger.level, logger.handlers[:], logger.disabled) for logger in loggers()}
    yield
    for logger in loggers():
        level, logger.handlers, logger.disabled = before.get(logger, (logging.NOTSET, [], False))
        logger.setLevel(level)


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, logging_as_before):
    """Run a command whose task only remembers that it was entered: (exit code, stdout, stderr, times)."""

    def run(*arguments):
        (tmp_path / "work").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "work")
        basic = in_this_process(arguments)
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments, *basic])
        entered = []
        with pytest.raises(SystemExit) as end:
            commands.command("train")(entered.append)()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err, len(entered)

    return run


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of somebody else's, with code that leaves a canary when it is imported, and a hub that does so when it is loaded."""
    folder = tmp_path / "elsewhere"
    (folder / "conf" / "experiment").mkdir(parents=True)
    touch = f"from pathlib import Path\nPath({str(folder / 'canary')!r}).touch()\n"
    (folder / "evil_package").mkdir()
    (folder / "evil_package" / "__init__.py").write_text(f"{touch}stream = None\n")
    (folder / "hubconf.py").write_text(f"{touch}def model(**_): ...\n")
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("evil_package", None)


def hub(folder):
    """Loads a torch.hub folder by way of an alias that Hydra's own list does not know."""
    return {
        "_target_": "torch.optim.optimizer.torch.hub.load",
        "repo_or_dir": str(folder),
        "model": "model",
        "source": "local",
    }


def refused(folder, answer):
    code, out, err, entered = answer
    assert not (folder / "canary").exists()
    assert (code, out, entered) == (2, "", 0), err
    assert "Traceback" not in err
    assert err
    assert not list((folder.parent / "work").iterdir())


def nodes(folder):
    """Subtrees of `hydra` that would touch folder/canary."""
    touch = {"args": ["touch", str(folder / "canary")]}
    escaped = "${oc.create:{" + ",".join(f"{key}:'{value}'" for key, value in hub(folder).items()) + "}}"
    process = {"()": "subprocess.Popen", **touch}
    return {
        "a callback": {"callbacks": {"evil": {"_target_": "os.system", "command": f"touch {folder}/canary"}}},
        "a callback by an alias": {"callbacks": {"evil": hub(folder)}},
        "a callback inside our own": {"callbacks": {"folders": {"inner": hub(folder)}}},
        "a callback that is put together": {"callbacks": {"evil": escaped}},
        "a launcher": {"launcher": hub(folder)},
        "inside a launcher": {"launcher": {"inner": hub(folder)}},
        "inside a launcher, put together": {"launcher": {"inner": escaped}},
        "inside a launcher, put together later": {"launcher": {"inner": "\\" + escaped}},
        "inside a sweeper": {"sweeper": {"params": {"inner": hub(folder)}}},
        "a formatter's factory": {"job_logging": {"root": {"level": "INFO"}, "formatters": {"evil": process}}},
        "a filter's factory": {"job_logging": {"root": {"level": "INFO"}, "filters": {"evil": process}}},
        "a handler's factory": {"hydra_logging": {"root": {"level": "INFO"}, "handlers": {"evil": process}}},
        "a handler's class": {"job_logging": {"root": {"level": "INFO"}, "handlers": {"evil": {"class": "subprocess.Popen", **touch}}}},
        "a stream": {"job_logging": {"root": {"level": "INFO"}, "handlers": {"evil": {"class": "logging.StreamHandler", "stream": "ext://evil_package.stream"}}}},
        "a file": {"job_logging": {"root": {"level": "INFO"}, "handlers": {"evil": {"class": "logging.FileHandler", "filename": f"{folder}/canary"}}}},
        "a path of programs": {"job": {"env_set": {"PATH": str(folder)}}},
    }  # fmt: skip


NODES = list(nodes(Path()))
TYPED = [
    name for name in NODES if not any(word in name for word in ("factory", "sweeper", "later"))
]  # the command line cannot say those


@pytest.mark.parametrize("mode", [(), ("-m",)])
@pytest.mark.parametrize("name", TYPED)
def test_nothing_that_is_typed_under_hydra_is_built(command, elsewhere, name, mode):
    def overrides(node, key):
        if isinstance(node, dict) and not any(part in node for part in ("_target_", "()", "class")):
            for part, value in node.items():
                yield from overrides(value, f"{key}.{part}")
        elif isinstance(node, dict):
            for part, value in node.items():
                yield f"++{key}.{part}={typed(value)}"
        else:
            yield f"++{key}={node!r}"

    typing = [
        argument.replace("'${", '"${').replace("}}'", '}}"') for argument in overrides(nodes(elsewhere)[name], "hydra")
    ]
    refused(elsewhere, command(*mode, *typing))


@pytest.mark.parametrize("mode", [(), ("-m",)])
@pytest.mark.parametrize("name", NODES)
def test_nothing_that_a_file_of_the_user_has_under_hydra_is_built(command, elsewhere, name, mode):
    place = elsewhere / "conf" / "experiment" / "evil.yaml"
    place.write_text("# @package _global_\n" + yaml.safe_dump({"hydra": nodes(elsewhere)[name]}))
    refused(elsewhere, command(*mode, f"--config-dir={elsewhere}/conf", "experiment=evil"))


def test_a_sweep_is_refused_before_its_first_job(command, elsewhere):
    place = elsewhere / "conf" / "experiment" / "evil.yaml"
    place.write_text("# @package _global_\n" + yaml.safe_dump({"hydra": nodes(elsewhere)["a formatter's factory"]}))
    place.with_name("mine.yaml").write_text("# @package _global_\nseed: 7\n")
    refused(elsewhere, command("-m", f"--config-dir={elsewhere}/conf", "experiment=mine,evil"))


def test_a_group_of_hydras_own_is_checked_too(command, elsewhere):
    place = elsewhere / "conf" / "hydra" / "job_logging" / "evil.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(yaml.safe_dump({"version": 1, **nodes(elsewhere)["a formatter's factory"]["job_logging"]}))
    refused(elsewhere, command(f"--config-dir={elsewhere}/conf", "hydra/job_logging=evil"))
    plugins = "hydra._internal.core_plugins"
    for group, target in {"launcher": "basic_launcher.BasicLauncher", "sweeper": "basic_sweeper.BasicSweeper"}.items():
        place = elsewhere / "conf" / "hydra" / group / "evil.yaml"
        place.parent.mkdir()
        for content in (
            hub(elsewhere),
            {"_target_": f"{plugins}.{target}", "max_batch_size": hub(elsewhere), "params": {}},
        ):
            place.write_text(yaml.safe_dump(content))
            refused(elsewhere, command("-m", f"--config-dir={elsewhere}/conf", f"hydra/{group}=evil"))
    refused(elsewhere, command("hydra/job_logging=default"))  # a file of its own


@pytest.mark.parametrize(
    "arguments",
    [
        ["--experimental-rerun={}/rerun.pickle"],
        ["--experimental-rerun", "{}/rerun.pickle"],
        ["--exp={}/rerun.pickle"],
        ["--config-path={}/conf"],
        ["-cp", "{}/conf"],
        ["--config-path=pkg://evil_package"],
        ["--config-name=evil"],
        ["-cn", "evil", "-cd", "{}/conf"],
        ["hydra.searchpath=[pkg://evil_package]"],
        ["++hydra.searchpath=[file://{}/conf]"],
        ["seed=1", "--cfg=job", "hydra.searchpath=[pkg://evil_package]"],
    ],
)
def test_what_would_bypass_the_commands_own_configuration_is_refused(command, elsewhere, arguments):
    (elsewhere / "rerun.pickle").write_bytes(pickle.dumps(Payload(elsewhere / "canary")))
    answer = command(*(argument.format(elsewhere) for argument in arguments))
    refused(elsewhere, answer)
    assert "is not allowed" in answer[2]


def test_options_of_ones_own_and_quiet_settings_are_taken(command, elsewhere):
    (elsewhere / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    for arguments in (
        [f"--config-dir={elsewhere}/conf", "experiment=mine", "hydra.verbose=true"],
        ["hydra/job_logging=stdout", "hydra.job_logging.root.level=ERROR"],
        ["hydra/job_logging=disabled", "hydra.job.chdir=false"],
    ):
        code, _, err, entered = command(*arguments)
        assert (code, entered) == (0, 1), err
    code, _, err, entered = command("-m", "seed=1,2", "hydra.sweep.dir=there", "hydra.sweeper.max_batch_size=1")
    assert (code, entered) == (0, 2), err


@pytest.mark.parametrize("mode", [(), ("-m",)])
@pytest.mark.parametrize(
    "argument",
    [
        "hydra.callbacks.folders=null",
        "hydra.callbacks.folders=3",
        "~hydra.callbacks.folders",
        "+hydra.callbacks.folders.x=1",
        "hydra.callbacks.folders._target_=3",
        "+hydra.callbacks.mine=null",
        "hydra.callbacks=null",
    ],
)
def test_the_callback_that_removes_the_folder_of_a_refused_request_stays(command, elsewhere, mode, argument):
    answer = command(*mode, argument)
    refused(elsewhere, answer)
    assert answer[2].count("\n") <= 3
    assert "hydra.callbacks" in answer[2]


@pytest.mark.slow
def test_the_commands_themselves_refuse(elsewhere, tmp_path):
    canary = elsewhere / "canary"
    for script, arguments in {
        "train.py": ["+hydra.callbacks.evil._target_=os.system", f"+hydra.callbacks.evil.command='touch {canary}'"],
        "evaluate.py": [f"++hydra.callbacks.evil={typed(hub(elsewhere))}"],
        "predict.py": [f"aug.transform={typed(hub(elsewhere))}", "run=none"],
    }.items():
        work = tmp_path / script
        work.mkdir()
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            cwd=work,
            capture_output=True,
            check=False,
            text=True,
            env={**os.environ},
        )
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert not list(work.iterdir())
    assert not canary.exists()
