"""Hydra's documented forms of typing: each composes to what it means, or is answered by a sentence that has what to type."""

import logging
import sys

import pytest

from entry.cli import command as commands
from entry.cli.overrides import options_of, problems, with_quotes
from entry.config.resolve import resolved
from tests.conftest import in_this_process


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    """Type a command whose task only resolves its settings: (exit code, settings of each job, stdout, stderr)."""

    def run(*arguments, name="train"):
        monkeypatch.chdir(tmp_path)
        basic = in_this_process(arguments)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments, *basic])
        # As in a new process: an earlier call's handlers write to its own streams, and it has disabled Hydra's loggers.
        live = [each for each in logging.root.handlers if not getattr(getattr(each, "stream", None), "closed", False)]
        monkeypatch.setattr(logging.root, "handlers", live)
        for logger in map(logging.getLogger, list(logging.root.manager.loggerDict)):
            monkeypatch.setattr(logger, "disabled", False)
        found = []
        with pytest.raises(SystemExit) as end:
            commands.command(name)(lambda request: found.append(resolved(request)))()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(end.value.code or 0), found, captured.out, captured.err

    return run


@pytest.fixture
def options(tmp_path):
    """A folder of options of one's own, by their paths."""

    def write(**files):
        for path, text in files.items():
            file = tmp_path / "own" / path.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_suffix(".yaml").write_text(text)
        return f"--config-dir={tmp_path / 'own'}"

    return write


def get(settings, key):
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize(
    ("arguments", "key", "values"),
    [
        (["seed=3"], "seed", [3]),
        (["++seed=3"], "seed", [3]),
        (["+optimizer.betas=[0.8,0.9]"], "optimizer.betas", [[0.8, 0.9]]),
        (["++optimizer.betas=[0.8,0.9]"], "optimizer.betas", [[0.8, 0.9]]),
        (["~aug"], "aug.name", ["none"]),
        (["~aug=none"], "aug.transform", [None]),
        (["~scheduler"], "scheduler.target", ["lightning_modules.schedules.constant"]),
        (["scheduler=cosine", "~scheduler"], "scheduler.target", ["lightning_modules.schedules.constant"]),
        (["~logger"], "logger.name", ["csv"]),
        (["~callbacks"], "callbacks", [{}]),
        (["~experiment"], "seed", [0]),
        (["~ema"], "ema.decay", [None]),
        (["~logger.project"], "logger.project", [None]),
        (["optimizer=sgd"], "optimizer.target", ["torch.optim.SGD"]),
        (["optimizer=[sgd]"], "optimizer.target", ["torch.optim.SGD"]),
        (["optimizer.lr=0.5", "optimizer=sgd"], "optimizer.lr", [0.5]),
        (["optimizer={lr:0.5}"], "optimizer.lr", [0.5]),
        (["logger=[csv,wandb]"], "logger.name", [["csv", "wandb"]]),
        (["logger=[tensorboard,wandb]", "logger.project=mine"], "logger.project", ["mine"]),
        (["logger=[csv,csv]"], "logger.name", ["csv"]),
        (["logger.name=[wandb,csv]"], "logger.name", [["wandb", "csv"]]),
        (["callbacks=[none,model_summary]"], "callbacks.keys", None),
        (["experiment=[q2_custom_cnn,q2_resnet18]"], "model.name", ["resnet18"]),
        (["data.image_size=sort([64,32])"], "data.image_size", [(32, 64)]),
        (["seed=int(3.0)"], "seed", [3]),
        (["optimizer.lr=float(1)"], "optimizer.lr", [1.0]),
        (["logger.project=str(3)"], "logger.project", ["3"]),
        (["report.train_eval=bool(0)"], "report.train_eval", [False]),
        (['logger.project="a, b=c"'], "logger.project", ["a, b=c"]),
        (["logger.project='a b'"], "logger.project", ["a b"]),
        ([r"logger.project=a\,b"], "logger.project", ["a,b"]),
        (["seed=${data.eval_batch_size}"], "seed", [64]),
        (["logger.group=${oc.env:NOT_SET_ANYWHERE,nobody}"], "logger.group", ["nobody"]),
        (['seed="${oc.decode:${oc.env:NOT_SET_ANYWHERE,5}}"'], "seed", [5]),
        (["logger.project=${hydra:job.name}"], "logger.project", ["train"]),
        (["-m", "seed=1,2"], "seed", [1, 2]),
        (["hydra.mode=MULTIRUN", "seed=1,2"], "seed", [1, 2]),
        (["-m", "seed=choice(1,2)"], "seed", [1, 2]),
        (["-m", "seed=range(0,6,2)"], "seed", [0, 2, 4]),
        (["-m", "seed=sort(3,1,2,reverse=true)"], "seed", [3, 2, 1]),
        (["-m", "seed=tag(a,b,choice(1,2))"], "seed", [1, 2]),
        (["-m", "aug=glob([*o*],exclude=road)"], "aug.name", ["flip_rotate", "none"]),
        (["-m", "logger=[csv,wandb],csv"], "logger.name", [["csv", "wandb"], "csv"]),
        (["-m", "~logger", "seed=1,2"], "logger.name", ["csv", "csv"]),
        (["-m", "hydra/launcher=basic", "hydra/sweeper=basic", "hydra.sweeper.max_batch_size=1", "seed=1,2"], "seed", [1, 2]),
        (["-m", "seed=1,2", "hydra.sweep.dir=s/${model.name}"], "seed", [1, 2]),
        (["hydra.run.dir=out/${model.name}_${optimizer.lr}", "hydra.verbose=true"], "seed", [0]),
    ],
)  # fmt: skip
def test_what_is_typed_has_its_meaning(typed, arguments, key, values):
    code, found, _, err = typed(*arguments)
    assert code == 0, err
    assert len(found) == (1 if values is None else len(values))
    if values is None:
        assert list(found[0].callbacks) == ["model_summary"]
    else:
        assert [get(settings, key) for settings in found] == values


def test_shuffle_gives_each_value_once(typed):
    assert sorted(settings.seed for settings in typed("-m", "seed=shuffle(range(1,4))")[1]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(([f"~{group}"], f"~{group}: a run needs {group}. Leave this out for the default, or type {group}=OPTION, one of ")
          for group in ("data", "model", "loss", "optimizer", "trainer")),
        (["~lightning_module"], "lightning_module is missing."),
        (["~model.name"], "hydra.run.dir cannot be resolved: Interpolation key 'model.name' not found"),
        (["~logger=csv"], "Could not delete 'logger=csv'"),
        (["~nothing"], "Could not delete from config. 'nothing' does not exist."),
        (["~hydra.job"], "does not support deletion"),
        (["trainer=[1]"], "trainer=[1]: a list of trainer holds names of options only. Type trainer=OPTION, one of auto, cpu"),
        (["trainer=1"], "trainer=1: trainer cannot be a number; give one of auto, cpu, ddp, ddp_cpu, gpu."),
        (["trainer=true"], "trainer=true: trainer cannot be true; give one of auto, cpu"),
        (["trainer=null"], "trainer=null: trainer cannot be null; give one of auto, cpu"),
        (["logger=null"], "logger=null: logger cannot be null; give one of csv, tensorboard, wandb. For none type ~logger."),
        (["logger=[]"], "logger=[]: the list is empty. Type logger=OPTION, one of csv, tensorboard, wandb. For none type ~logger."),
        (["logger=[csv,comet]"], "logger=comet: there is no such option. Choose one of: csv, tensorboard, wandb"),
        (["logger.name=[csv,comet]"], "logger.name=[csv,comet]: must be csv, tensorboard, wandb or a list of these"),
        *(([f"{group}=[{a},{b}]"], f"{group}=[{a},{b}]: one option belongs here; the keys of several would be mixed. Type one of them, or try each with -m {group}={a},{b}")
          for group, a, b in (("optimizer", "adam", "sgd"), ("aug", "none", "road"), ("model", "custom_cnn", "resnet18"), ("data", "idd", "idd_lite"),
                              ("trainer", "cpu", "gpu"), ("loss", "ohem", "cross_entropy"), ("scheduler", "cosine", "poly"))),
        (["-m", "optimizer=[adam,sgd],adam"], "optimizer=[adam,sgd]: one option belongs here"),
        (["+logger=tensorboard"], "+logger=tensorboard: an option of logger is chosen already. Type logger=OPTION without +"),
        (["++aug=road"], "++aug=road: an option of aug is chosen already. Type aug=OPTION without +, one of flip_rotate, none, road."),
        (["aug@loss=road"], "aug@loss=road: an option of aug stands in aug and nowhere else. Type aug=OPTION"),
        (["+optimizer@second=sgd"], "an option of optimizer stands in optimizer and nowhere else"),
        (["+seed=3"], "Could not append to config. An item is already at 'seed'."),
        (["-m", "optimizer.lr=interval(1e-4,1e-2)"], "an interval needs a sweeper that searches: -m hydra/sweeper=optuna n_trials=40. The default one tries each of some values: -m optimizer.lr=A,B,C"),
        (["-m", "optimizer.lr=tag(log,interval(1e-4,1e-2))"], "an interval needs a sweeper that searches"),
        (["optimizer.lr=interval(1e-4,1e-2)"], "an interval needs a sweeper that searches"),
        (["seed=range(3)"], "seed=range(3): several values are tried with -m: python train.py -m 'seed=range(3)'."),
        (["seed=1,2"], "seed=1,2: several values are tried with -m: python train.py -m seed=1,2. A list is typed seed=[A,B], a text with a comma 'seed=\"1,2\"'."),
        (["logger=csv,wandb"], "python train.py -m logger=csv,wandb. All of them at once: logger=[A,B]."),
        (["-m", "model=glob(vit*)"], "model=glob(vit*): matches no option; there are custom_cnn, "),
        (["-m", "seed=glob(*)"], "seed=glob(*): glob is for groups only."),
        (["-m", "seed=range(3,3)"], "seed=range(3,3): the range has no values."),
        (["-m", "seed=choice()"], "seed=choice(): empty choice is not legal"),
        (["optimizer.lr=log(1,2)"], "optimizer.lr=log(1,2): Unknown function 'log'"),
        (["seed=int(a)"], "seed=int(a): invalid literal for int()"),
        (["seed=int(null)"], "cannot be read: seed=int(null): "),
        (["seed"], "cannot be read: seed. Settings are typed key=value, without spaces around the =."),
        (["=3"], "=3: there is no key before the =."),
        (["seed", "=", "3"], "cannot be read: seed. Settings are typed"),
        (["data.split={train:"], "data.split={train:: its brackets do not match"),
        (["data.root=~/pictures"], "need quotes of their own: 'data.root=\"~/pictures\"'"),
        (["data.root=it's here"], "need quotes of their own: 'data.root=\"it'\"'\"'s here\"'"),
        (["seed=${nothing}"], "Interpolation key 'nothing' not found"),
        (["hydra.run.dir=${nothing}"], "hydra.run.dir cannot be resolved: Interpolation key 'nothing' not found"),
        (["hydra.run.dir=${oc.env:NOT_SET_ANYWHERE}"], "Environment variable 'NOT_SET_ANYWHERE' not found"),
        (["-m", "seed=1,2", "hydra.sweep.dir=${nothing}"], "hydra.sweep.dir cannot be resolved: Interpolation key 'nothing' not found"),
        (["-m", "seed=1,2", "hydra.sweep.subdir=mine"], "hydra.sweep.subdir=mine: the run folders of a sweep have the numbers of its jobs"),
        (["jobs=2"], "jobs=2: jobs is for the jobs of a sweep. Type -m with it, or leave it out."),
        (["-m", "seed=1,2", "jobs=0"], "jobs=0: must be a whole number of at least 1 or null"),
        (["-m", "seed=1,2", "on_failure=panic"], "on_failure=panic: must be continue or stop"),
        (["-m", "seed=1,2", "sweep.resume=nowhere"], "there is no such folder. Give the folder of a sweep that python train.py -m has printed."),
        (["hydra.run.dir="], "hydra.run.dir=: the path is empty. Type hydra.run.dir=DIR."),
        (["hydra.run.dir=null"], "hydra.run.dir=null: cannot be null"),
        (["hydra.mode=BOTH"], "expected one of [RUN, MULTIRUN]"),
        (["hydra.output_subdir=.hydra"], "hydra.output_subdir=.hydra: Hydra writes no files of its own here"),
        (["hydra/job_logging=default"], "hydra.job_logging: a logging configuration that writes a file is not allowed"),
        (["hydra/job_logging=colorlog"], "hydra/job_logging=colorlog: there is no such option. Choose one of: default, disabled, none, stdout"),
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: there is no such option. Choose one of: basic"),
        (["-m", "hydra/sweeper=ax", "seed=1,2"], "hydra/sweeper=ax: there is no such option."),
        (["hydra.launcher=null"], "hydra.launcher: it is not allowed or not there"),
        (["hydra=null"], "This cannot be composed: "),
        (["-m", "+hydra.sweeper.params.seed='1,2'"], "This cannot be composed: "),
        (["--config-name=x"], "--config-name=x is not allowed"),
        (["--config-dir=nothing"], "Additional config directory '"),
        (["--package", "seed"], "--package goes with --cfg: python train.py --cfg job --package seed."),
        (["--cfg", "all_of_it"], "argument --cfg/-c: invalid choice: 'all_of_it'"),
        (["--cfg"], "argument --cfg/-c: expected one argument"),
        (["--cfg", "job", "--package", "nothing"], "package 'nothing' not found in config"),
        (["--cfg", "job", "--resolve", "seed=${nothing}"], "Interpolation key 'nothing' not found"),
        (["--info", "everything"], "argument --info/-i: invalid choice: 'everything'"),
        (["-m", "--cfg", "job"], "--multirun and --cfg exclude each other. Type one of them."),
        (["-r", "-m"], "--run and --multirun exclude each other."),
        (["--shell-completion"], "--shell-completion needs install=SHELL"),
        (["--help", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["run=x"], "run=x: run is a key of evaluate.py, predict.py and export.py, not of train.py. Type resume=x."),
        (["split=val"], "split=val: split is a key of evaluate.py and compare.py, not of train.py. Leave it out."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_sentence(typed, tmp_path, arguments, message):
    code, found, out, err = typed(*arguments)
    assert (code, found, out) == (2, [], ""), err
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_path_without_a_key_is_answered_with_the_key(typed, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "a b.jpg").touch()
    for name, path, meant in (
        ("train", "run", "resume=run"),
        ("evaluate", "run", "run=run"),
        ("predict", "run", "run=run"),
        ("compare", "run", "runs=run"),
        ("predict", "a b.jpg", """'source="a b.jpg"'"""),
    ):
        assert typed(path, name=name)[3] == f"{path} is a path without a key. Type {meant}\n"


def test_compare_has_no_groups(typed):
    for text in ("data=idd", "optimizer.lr=1"):
        key = text.partition("=")[0]
        message = f"{text}: {key} is no key of compare.py, which reads runs as they are. Leave it out.\n"
        assert typed("runs=[a,b]", text, name="compare")[3] == message


@pytest.mark.parametrize(
    ("argument", "quoted"),
    [
        ("require=miou>=0.68,iou.person>=0.55", 'require="miou>=0.68,iou.person>=0.55"'),
        ('require=iou.a"b>=0.5', r'require="iou.a\"b>=0.5"'),
        ('require="miou>=0.68"', 'require="miou>=0.68"'),
        ("require=", "require="),
        ("runs=[a,b]", "runs=[a,b]"),
    ],
)
def test_conditions_need_no_quotes_of_hydras(argument, quoted):
    assert with_quotes(argument) == quoted


def test_a_key_of_train_is_refused_by_the_other_commands(typed):
    assert (
        "resume=x: resume is a key of train.py, not of evaluate.py. Type run=x."
        in typed("resume=x", name="evaluate")[3]
    )


def test_several_problems_are_all_named_at_once(typed):
    code, _, _, err = typed("trainer=1", "~model", "aug=flip", "seed")
    assert code == 2
    assert [line.split(":")[0] for line in err.splitlines()] == [
        "trainer=1",
        "~model",
        "aug=flip",
        "The command line cannot be read",
    ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--hydra-help"], "--config-dir"),
        (["--version"], "Hydra 1.3"),
        (["--info", "defaults"], "logger/wandb"),
        (["--info", "searchpath"], "Provider"),
        (["--cfg", "job", "logger=[csv,wandb]", "-p", "logger"], "name:\n- csv\n- wandb\n"),
        (["--cfg", "hydra", "-p", "hydra.run"], "dir: runs/"),
        (["--cfg", "all", "-p", "seed"], "0\n"),
        (["--cfg", "job", "--resolve", "seed=${data.eval_batch_size}", "-p", "seed"], "64"),
        (["--help", "--cfg", "job", "seed=5"], "seed=5"),
        (["--help", "-m", "seed=1,2", "trainer.max_epochs=7"], "trainer.max_epochs=7"),
        (["--help", "logger=[csv,wandb]"], "logger.name=[csv,wandb]"),
        (["--shell-completion", "install=bash"], "hydra_bash_completion"),
    ],
)  # fmt: skip
def test_what_is_shown(typed, arguments, part):
    code, found, out, err = typed(*arguments)
    assert (code, found) == (0, []), err
    assert part in out


def test_options_of_ones_own_are_options_of_their_groups(typed, options):
    own = options(
        logger__mine="defaults:\n  - wandb\n  - _self_\nproject: mine\n",
        optimizer__mine="defaults:\n  - sgd\n  - _self_\nlr: 0.5\n",
        experiment__two="# @package _global_\ndefaults:\n  - override /logger: [csv, mine]\n",
        experiment__mixed="# @package _global_\ndefaults:\n  - override /optimizer: [adam, sgd]\n",
        experiment__sweep="# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n",
    )
    [settings] = typed(own, "logger=[mine,tensorboard]", "optimizer=mine")[1]
    assert (settings.logger.name, settings.logger.project) == (["wandb", "tensorboard"], "mine")
    assert (settings.optimizer.target, settings.optimizer.lr) == ("torch.optim.SGD", 0.5)
    [settings] = typed(own, "experiment=two")[1]
    assert settings.logger.name == ["csv", "wandb"]
    assert "optimizer=[adam,sgd]: one option belongs here" in typed(own, "experiment=mixed")[3]
    assert [settings.seed for settings in typed("-m", own, "experiment=sweep")[1]] == [1, 2]
    assert "optimizer.lr=0.5" in typed(own, "--help", "optimizer=mine")[2]
    assert "Choose one of: adam, adamw, mine, sgd" in typed(own, "optimizer=theirs")[3]


def test_paths_are_relative_to_where_they_were_typed_whatever_hydra_would_change(typed, tmp_path):
    (tmp_path / "pictures").mkdir()
    data = ("data=image_folder", "data.root=pictures", "data.split=mine.csv")
    (tmp_path / "mine.csv").touch()
    for arguments, jobs in (((), 1), (("-m", "seed=1,2"), 2)):
        code, found, out, err = typed(*arguments, *data, "hydra.job.chdir=true")
        assert (code, len(found)) == (0, jobs), err
        assert {(settings.data.root, settings.data.split) for settings in found} == {
            (str(tmp_path / "pictures"), str(tmp_path / "mine.csv"))
        }
        assert "note: hydra.job.chdir=true changes nothing" in out


def test_what_was_taken_out_is_in_the_configuration_as_what_it_means(typed):
    [settings] = typed("~logger", "~aug", "~ema", "~scheduler")[1]
    plain = settings.to_dict()
    assert (plain["logger"]["name"], plain["aug"]["name"], plain["ema"]) == ("csv", "none", {"decay": None})
    # With keys of other schedules beside it, this one could not be built.
    assert plain["scheduler"] == {"_target_": "lightning_modules.schedules.constant", "_partial_": True}


def test_an_option_that_would_never_be_read_is_refused(typed, options, tmp_path):
    own = options(loss__focal="name: mine\n", loss__mine="defaults:\n  - focal\n  - _self_\n")
    code, found, out, err = typed(own, "loss=mine")
    assert (code, found, out) == (2, [], "")
    path = tmp_path / "own" / "loss" / "focal.yaml"
    assert err.startswith(
        f"{path}: loss=focal is an option of idd-lightning's own, which is read in place of yours. Give"
    )


def test_what_makes_sense_has_no_problems():
    assert problems(["model=resnet18", "-m", "seed=1,2"], "train") == []
    assert options_of("optimizer") == ["adam", "adamw", "sgd"]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("data.image_pattern={split}/{name}.jpg", 'data.image_pattern="{split}/{name}.jpg"'),
        ("data.mask_pattern=a/{name}.png,b/{name}.png", 'data.mask_pattern="a/{name}.png","b/{name}.png"'),
        ('data.split="sets/{split}.txt"', 'data.split="sets/{split}.txt"'),
        ("data.split={train: 0.7, val: 0.1, test: 0.2}", "data.split={train: 0.7, val: 0.1, test: 0.2}"),
        ("data.split={train:0.7,val:0.1,test:0.2}", "data.split={train:0.7,val:0.1,test:0.2}"),
        ("optimizer.lr=1e-3,3e-4", "optimizer.lr=1e-3,3e-4"),
        ("data.root=${oc.env:HOME}/x", "data.root=${oc.env:HOME}/x"),
        ("-m", "-m"),
    ],
)
def test_values_with_placeholders_need_no_quotes_of_their_own(typed, read):
    assert with_quotes(typed) == read


@pytest.mark.parametrize(
    ("argument", "plain"),
    [
        ("data=image_folder", True), ("data.root=/a/b_c-1.0", True), ("data.image_size=[64,64]", True), ("hydra.run.dir=runs/x", True),
        ("optimizer.lr=1e-3", True), ("seed=3", False), ("data=none_such", False), ("data=null", False), ("data=[idd,idd_lite]", False),
        ("model=custom_cnn,resnet18", False), ("optimizer.lr=1e-3,3e-4", False), ("data.root=", False), ("hydra.run.dir=", False),
        ("data.root=a b", False), ("data.root=${x}", False), ("hydra.searchpath=x", False), ("hydra.output_subdir=x", False), ("~logger", False),
        ("+data=idd", False), ("optimizer.lr=range(1,3)", False), ("run=x", False), ("-m", False), ("--help", False), ("data.split={train:1}", False),
        ("data.root=é", False), ("data.1=2", False), ("data.root", False), ("data=../data/idd", True), ("logger.tags=[a,b", False),
    ],
)  # fmt: skip
def test_only_what_hydras_grammar_cannot_change_is_passed_on_unread(argument, plain):
    assert commands.is_plain(argument) == plain
    assert not (plain and problems([argument], "train"))
