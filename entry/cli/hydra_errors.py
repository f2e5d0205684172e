"""Hydra's error messages about a command line, reworded for users who do not know Hydra."""

import difflib
import re

from omegaconf import OmegaConf

from entry.request import CONF
from settings.base import entries

# What Hydra writes about an option, a null or a list where none can stand, about its grammar, and about a folder: all that it
# does with files is to make it. In the sentences {0} is the match, {1} the command's name.
SENTENCES = (
    (r"unrecognized arguments: .*",
     "{0[0]}\nSettings are typed key=value, one after the other; options such as -m stand before them: python {1}.py -m seed=0,1"),
    (r"error: (argument .*)", "{0[1]}. The options of a command line: python {1}.py --hydra-help"),
    (r"^(?=.*[Ii]nterpolation)(?:.*(?:Error|Warning|Value): )?(.*)\s+full_key: (.*)", "{0[2]} cannot be resolved: {0[1]}"),
    (r"Error merging override (.*)\s+Cannot merge DictConfig with ListConfig",
     "{0[1]}: a list cannot stand here, because the key has keys of its own. They are in: python {1}.py --cfg job"),
    (r"Error merging override (.*)\s+field .* is not Optional$", "{0[1]}: cannot be null"),
    (r"Error merging override (.*)\s+(.*)", "{0[1]}: {0[2]}"),
    (r"(?:mismatched input|token recognition error|no viable alternative|extraneous input|missing EQUAL|(?<=LexerNoViableAltException: )).*",
     ("The command line cannot be read: {0[0]}. Values with spaces, letters beyond a to z or any of ~ = ( ) , {{ }} [ ] need quotes of "
      "their own, for example: 'data.root=\"/my data/a=b\"'")),
    (r"^(?:OSError|[A-Z]\w+Error): \[Errno \d+\] (.*)\Z", "The run folder cannot be made: {0[1]}"),
)  # fmt: skip


def reworded(complaint: str, name: str) -> str:
    """What Hydra wrote on stderr about a request for `conf/<name>.yaml`, without its advice on debugging Hydra.

    A key that does not exist is answered with the nearest that do; other complaints are kept as they are.
    """
    debugging = ("HYDRA_FULL_ERROR", "    reference_type=", "    object_type=")
    lines = [line for line in complaint.splitlines() if line.strip() and not any(each in line for each in debugging)]
    text = "\n".join(lines)
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown and unknown[1].startswith("hydra.launcher."):  # typed launcher.…, whose keys are those of one option
        known = "Those of SLURM are in conf/hydra/launcher/slurm.yaml, and go with hydra/launcher=slurm."
        return f"There is no key {unknown[1].removeprefix('hydra.')!r} in the launcher that was chosen. {known}\n"
    if unknown and ("not in struct" in text or "append to your config" in text):
        return f"There is no key {unknown[1]!r}{_nearest(unknown[1], name)} All keys: python {name}.py --cfg job\n"
    available = r"Could not find '([^']+)/([^']*)'\s+Available options in '[^']+':\s*(.*?)(?:Config search path|$)"
    if group := re.search(available, text, re.DOTALL):
        options = [option.strip() for option in group[3].splitlines() if option.strip()]
        return f"{group[1]}={group[2]}: there is no such option. Choose one of: {', '.join(options)}\n"
    for pattern, sentence in SENTENCES:
        if found := re.search(pattern, text, re.MULTILINE):
            return sentence.format(found, name) + "\n"
    if "Traceback (most recent call last)" in text:  # an exception of Python's that Hydra did not expect
        reasons = re.findall(r"^[\w.]*(?:Error|Exception|Value): (.*)", text, re.MULTILINE)
        return f"This cannot be composed: {(reasons or lines)[-1]}. All keys: python {name}.py --help\n"
    return f"{text}\n"


def _nearest(key: str, name: str) -> str:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        every = entries(OmegaConf.to_container(compose(config_name=name), resolve=False))
        known = [each for each, *_ in every if not re.search(r"\.\d", each)]  # without members of lists
    if key in known:
        return " with the options that were chosen; others have it."
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else "."
