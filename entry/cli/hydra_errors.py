"""Hydra's error messages about a command line, reworded for users who do not know Hydra."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

CONF = str(Path(__file__).resolve().parents[2] / "conf")


def reworded(complaint: str, name: str) -> str:
    """What Hydra wrote on stderr about a request for `conf/<name>.yaml`, without its advice on debugging Hydra.

    A key that does not exist is answered with the nearest that do; other complaints are kept as they are.
    """
    debugging = ("HYDRA_FULL_ERROR", "    reference_type=", "    object_type=")
    lines = [line for line in complaint.splitlines() if line.strip() and not any(each in line for each in debugging)]
    text = "\n".join(lines)
    misplaced = _misplaced(text, name)
    if misplaced:
        return misplaced
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown and ("not in struct" in text or "append to your config" in text):
        return f"There is no key {unknown[1]!r}{_nearest(unknown[1], name)} All keys: python {name}.py --cfg job\n"
    group = re.search(
        r"Could not find '([^']+)/([^']*)'\s+Available options in '[^']+':\s*(.*?)(?:Config search path|$)",
        text,
        re.DOTALL,
    )
    if group:
        options = [option.strip() for option in group[3].splitlines() if option.strip()]
        return f"{group[1]}={group[2]}: there is no such option. Choose one of: {', '.join(options)}\n"
    broken = re.search(
        r"(?:mismatched input|token recognition error|no viable alternative|extraneous input|missing EQUAL|(?<=LexerNoViableAltException: )).*",
        text,
    )
    if broken:
        return (
            f"The command line cannot be read: {broken[0]}. Values with spaces, letters beyond a to z or any of ~ = ( ) , {{ }} [ ] need quotes of their own, "
            "for example: 'data.root=\"/my data/a=b\"'\n"
        )
    return f"{_unexpected(text, name) or text}\n"


def _unexpected(text: str, name: str) -> str | None:
    """The message for an exception of Python's that Hydra did not expect; None for its own."""
    folder = re.search(r"^(?:OSError|[A-Z]\w+Error): \[Errno \d+\] (.*)\Z", text, re.MULTILINE)
    if folder:  # all that Hydra does with files is to make it
        return f"The run folder cannot be made: {folder[1]}"
    if "Traceback (most recent call last)" not in text:
        return None
    reasons = re.findall(r"^[\w.]*(?:Error|Exception|Value): (.*)", text, re.MULTILINE)
    return f"This cannot be composed: {reasons[-1] if reasons else text.splitlines()[-1]}. All keys: python {name}.py --help"


def _misplaced(text: str, name: str) -> str | None:
    """The message for an option, a null or a list where none can stand; None for another error."""
    stray = re.search(r"unrecognized arguments: .*", text)
    if stray:
        return f"{stray[0]}\nSettings are typed key=value, one after the other; options such as -m stand before them: python {name}.py -m seed=0,1\n"
    option = re.search(r"error: (argument .*)", text)
    if option:
        return f"{option[1]}. The options of a command line: python {name}.py --hydra-help\n"
    resolving = re.search(r"^(.*[Ii]nterpolation.*)\s+full_key: (.*)", text, re.MULTILINE)
    if resolving:
        reason = re.sub(r"^.*(?:Error|Warning|Value): ", "", resolving[1])
        return f"{resolving[2]} cannot be resolved: {reason}\n"
    listed = re.search(r"Error merging override (.*)\s+Cannot merge DictConfig with ListConfig", text)
    if listed:
        return f"{listed[1]}: a list cannot stand here, because the key has keys of its own. They are in: python {name}.py --cfg job\n"
    refused = re.search(r"Error merging override (.*)\s+(.*)", text)
    if refused:
        reason = re.sub(r"^field .* is not Optional$", "cannot be null", refused[2])
        return f"{refused[1]}: {reason}\n"
    return None


def _nearest(key: str, name: str) -> str:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(CONF, version_base="1.3"):
        known = list(_keys(OmegaConf.to_container(compose(config_name=name), resolve=False), ""))
    if key in known:
        return " with the options that were chosen; others have it."
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else "."


def _keys(config: Any, prefix: str) -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
