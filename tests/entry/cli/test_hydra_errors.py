"""What Hydra wrote about a command line, and the sentence that is printed instead."""

import re

import pytest

from entry.cli.hydra_errors import reworded

ADVICE = "\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n"
GRAMMAR = "\nSee https://hydra.cc/docs/1.2/advanced/override_grammar/basic for details\n"
QUOTES = "Values with spaces, letters beyond a to z or any of ~ = ( ) , { } [ ] need quotes of their own, for example: 'data.root=\"/my data/a=b\"'"


def not_in_struct(key):
    last = key.split(".")[-1]
    return f"Could not override '{key}'.\nTo append to your config use +{key}=3\nKey '{last}' is not in struct\n    full_key: {key}\n    object_type=dict\n{ADVICE}"


# Written by Hydra 1.3.
NO_OPTION = (
    "In 'train': Could not find 'aug/flip_rotat'\n\nAvailable options in 'aug':\n\tflip_rotate\n\tnone\n\troad\nConfig search path:\n"
    f"\tprovider=hydra, path=pkg://hydra.conf\n\tprovider=main, path=file:///home/conf\n{ADVICE}"
)
NULL = 'Traceback (most recent call last):\n  File "defaults_list.py", line 95\nValueError: Config group override must be a string or a list. Got NoneType\n'
STRAY = "usage: train.py [--help] [overrides ...]\ntrain.py: error: unrecognized arguments: --foo\n"
LIST = f"Error merging override data.split=[1]\nCannot merge DictConfig with ListConfig\n    full_key: \n{ADVICE}"
FOLDER = "Traceback (most recent call last):\n  File \"utils.py\", line 1\nPermissionError: [Errno 13] Permission denied: '/runs'\n"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (NO_OPTION, "aug=flip_rotat: there is no such option. Choose one of: flip_rotate, none, road"),
        (NULL, "This cannot be composed: Config group override must be a string or a list. Got NoneType. All keys: python train.py --help"),
        (STRAY, "unrecognized arguments: --foo\nSettings are typed key=value, one after the other; options such as -m stand before them: python train.py -m seed=0,1"),
        (LIST, "data.split=[1]: a list cannot stand here, because the key has keys of its own. They are in: python train.py --cfg job"),
        (f"mismatched input '=' expecting <EOF>{GRAMMAR}{ADVICE}", f"The command line cannot be read: mismatched input '=' expecting <EOF>. {QUOTES}"),
        (f"no viable alternative at input '[a,b'{GRAMMAR}{ADVICE}", f"The command line cannot be read: no viable alternative at input '[a,b'. {QUOTES}"),
        ("usage: train.py [--cfg]\ntrain.py: error: argument --cfg/-c: expected one argument\n",
         "argument --cfg/-c: expected one argument. The options of a command line: python train.py --hydra-help"),
        ("Interpolation key 'nothing' not found\n    full_key: hydra.run.dir\n    object_type=dict\n", "hydra.run.dir cannot be resolved: Interpolation key 'nothing' not found"),
        (f"Error merging override hydra.run.dir=null\nfield 'hydra.run.dir' is not Optional\n    reference_type=RunDir\n    object_type=RunDir\n{ADVICE}",
         "hydra.run.dir=null: cannot be null"),
        ("Error merging override hydra.job.chdir=maybe\nValue 'maybe' is not a valid bool (type str)\n    full_key: hydra.job.chdir\n",
         "hydra.job.chdir=maybe: Value 'maybe' is not a valid bool (type str)"),
        # With HYDRA_FULL_ERROR=1 it is raised without its second half.
        ("Could not override 'hydra.launcher.partition'.\nTo append to your config use +hydra.launcher.partition=gpu", "There is no key 'launcher.partition' in the launcher that was chosen. Those of SLURM are in conf/hydra/launcher/slurm.yaml, and go with hydra/launcher=slurm."),
        ("Could not override 'trainer.max_epoch'.\nTo append to your config use +trainer.max_epoch=1", "There is no key 'trainer.max_epoch'; did you mean trainer.max_epochs or trainer.max_steps or trainer.timeout? All keys: python train.py --cfg job"),
        (FOLDER, "The run folder cannot be made: Permission denied: '/runs'"),
    ],
)  # fmt: skip
def test_each_complaint_has_its_sentence(written, printed):
    assert reworded(written, "train") == f"{printed}\n"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("data.bach_size", "data.batch_size"),
        ("modell", "model"),
        ("model.dropout", "model.network.dropout"),
        ("xyzzy", None),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(key, nearest):
    printed = reworded(not_in_struct(key), "train")
    assert printed.startswith(f"There is no key '{key}'{'' if nearest is None else f'; did you mean {nearest}'}")
    assert re.search(r"[^?.][?.] All keys: python train\.py --cfg job\n\Z", printed)  # one mark ends the sentence
    assert ("did you mean" in printed) == (nearest is not None)


def test_a_key_that_other_options_have():
    printed = reworded(not_in_struct("seed"), "train")
    assert printed.startswith("There is no key 'seed' with the options that were chosen; others have it")


def test_other_complaints_stay_without_the_advice_for_hydras_developers():
    assert reworded(f"Something else.\n{ADVICE}", "train") == "Something else.\n"
