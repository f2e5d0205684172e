"""Hypothesis strategies that change valid files, and the check that every reader is held to."""

import copy
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from entry.errors import FAILURES, REQUEST_ERRORS

OURS = (*REQUEST_ERRORS, *FAILURES)
MOST_SECONDS = 10.0  # of computing with one file: none of them is larger than some kB
MOST_EDITS = 4
EXTREME = [
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"\x80\0\0\0",
    b"\0" * 8,
    b"\xff" * 8,
]
# What stands in the place of a value: other types, and numbers and texts beyond what is usual.
ODD = [None, True, 0, -1, 3, 1.5, -1e30, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63, 10**400, "", "x", "..", "\0", "\ud800", "é" * 300,
       "1", [], [[]], {}, [None], [[1, 2]], [[[1]]], [1, "a"], {"a": 1}, {"size": [1, 1], "counts": [1]}]  # fmt: skip
CELLS = ["", "..", "../../x", "\0", "\x1b[31m", "é" * 300, "a\nb", '"', "-1", "256", "1e5", "nan", "9" * 5000, "²", "\u0661", "1_0", "yes", "#", "# x", ";", "a;b", "=1+1",
         "\ufeff", "\u202e", "road", "train", " "]  # fmt: skip

NEW_CASES = os.environ.get("FUZZ") == "new"
if not NEW_CASES:
    # Hypothesis also draws constants of the sources that are imported by then, and so other cases after other tests.
    pytest.MonkeyPatch().setattr(providers, "_get_local_constants", Constants)


def profile(cases: int) -> settings:
    """The same cases on every machine and at every time, unless FUZZ=new; with no limit that a busy machine could exceed."""
    fixtures = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    fixed = not NEW_CASES
    return settings(max_examples=cases, derandomize=fixed, database=None, deadline=None, suppress_health_check=fixtures)


def fuzzed(quick: int, full: int) -> Any:
    """Parametrise a test that takes `cases`: few of them, and as a slow test all."""
    return pytest.mark.parametrize("cases", [quick, pytest.param(full, marks=pytest.mark.slow)])


@st.composite
def changed_bytes(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of some files with up to MOST_EDITS places changed: a byte, a bit, a length; something cut out, repeated or copied there."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        end = max(len(content) - 1, 0)
        place = draw(st.one_of(st.integers(0, min(end, 200)), st.integers(0, end)))  # headers more often
        match draw(st.integers(0, 6)):
            case 0:
                content[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 1 if content:
                content[place] ^= 1 << draw(st.integers(0, 7))
            case 2:
                del content[place : place + draw(st.sampled_from([1, 2, 4, 50]))]
            case 3:
                content[place:place] = content[place : place + draw(st.sampled_from([1, 4, 50]))]
            case 4:
                del content[place:]
            case 5:
                extreme = draw(st.sampled_from(EXTREME))
                content[place : place + len(extreme)] = extreme
            case _:
                other = draw(st.integers(0, end))
                content[place : place + 8] = content[other : other + 8]
    return bytes(content)


@st.composite
def changed_values(draw: st.DrawFn, original: Any) -> Any:
    """Plain data with up to MOST_EDITS of its values replaced, renamed, repeated or left out."""
    content = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        places = [*_places(content, ())]
        *above, last = draw(st.sampled_from(places)) or (None,)
        if last is None:  # the whole
            content = copy.deepcopy(draw(st.sampled_from(ODD))) if draw(st.integers(0, 9)) == 0 else content
            continue
        inside = content
        for key in above:
            inside = inside[key]
        match draw(st.integers(0, 4)):
            case 0 if isinstance(inside, dict):
                del inside[last]
            case 1 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[last]))
            case 2 if isinstance(inside, dict):
                inside[draw(st.sampled_from(["", "a", f"{last}x"]))] = inside.pop(last)
            case _:
                inside[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return content


def _places(content: Any, place: tuple[Any, ...]) -> Any:
    yield place
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield from _places(value, (*place, key))


@st.composite
def changed_json(draw: st.DrawFn, original: Any) -> bytes:
    """The text of a JSON file: with other values, other bytes, or nested without end."""
    match draw(st.integers(0, 19)):
        case 0:
            return draw(st.sampled_from([b"[" * 10**5, b'{"a":' * 10**5, b"", b"\xff\xfe", b"null", b"1" * 5000]))
        case 1 | 2 | 3:
            return draw(changed_bytes([json.dumps(original).encode()]))
    return json.dumps(draw(changed_values(original))).encode()


@st.composite
def changed_table(draw: st.DrawFn, original: str) -> bytes:
    """The text of a CSV file with cells and rows changed, in any usual delimiter, line end and encoding; or with other bytes."""
    if draw(st.integers(0, 2)) == 0:
        return draw(changed_bytes([original.encode()]))
    rows = [line.split(",") for line in original.splitlines()]
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        place = draw(st.integers(0, max(len(row) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0:
                row[place : place + 1] = [draw(st.sampled_from(CELLS))]
            case 1:
                rows.insert(draw(st.integers(0, len(rows))), list(row))
            case 2:
                del row[place : place + 1]
            case _:
                row.append(draw(st.sampled_from(CELLS)))
    delimiter, end = draw(st.sampled_from([",", ";", "\t", "|"])), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    return end.join(delimiter.join(row) for row in rows).encode(encoding)


def check(file: Path, content: bytes, *readers: Callable[[], object]) -> int:
    """Write a file and read it: return how many readers refused it. Any other error than our own fails, and so does taking long."""
    file.write_bytes(content)
    began, refused = time.process_time(), 0  # of this process: another may have the core meanwhile
    for reader in readers:
        try:
            reader()
        except OURS:
            refused += 1
    assert time.process_time() - began < MOST_SECONDS
    return refused
