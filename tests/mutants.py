"""Checks of untrusted files, each removed once: the tests named beside it must fail. `python -m tests.mutants [NUMBER …]`

The tree is copied to a temporary folder; each mutation replaces a text there, which has to be in the file exactly once, runs the
tests, which have to fail, and is taken back. The tests have to pass on the unchanged copy first.
"""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SLOW_TO_IMPORT = (
    "torch",
    "torchvision",
    "torchmetrics",
    "lightning",
    "hydra",
    "pydantic",
    "cv2",
    "scipy.sparse",
    "hypothesis",
    "rich",
    "PIL.Image",
    "sklearn.metrics",
)
LONGEST = 60  # seconds of a mutation's tests, of which a check that is taken out can make a wait without end
FAILED = 1  # pytest's exit code where tests were run and some failed


class Mutation(NamedTuple):
    """A text of a source file, what replaces it, and the tests (files, or parts of their names after ::) that must fail."""

    file: str
    text: str
    replacement: str
    test: str


OUTLINES, LABELME, COCO = (
    "tests/datamodules/files/test_" + name for name in ("idd_polygons.py", "labelme.py", "coco.py")
)
WEIGHTS, CONFIG, SCORES = ("tests/lightning_modules/weights/test_safe_load.py", "tests/entry/config/test_run_config.py", "tests/reports/test_evaluation_files.py")  # fmt: skip
MUTATIONS = (
    Mutation("datamodules/files/idd_polygons.py", "and path.stat().st_size <= most", "", f"{OUTLINES}::test_a_file_that_is_too_large"),
    Mutation("datamodules/files/idd_polygons.py", "(OSError, ValueError, RecursionError)", "(OSError, ValueError)", f"{OUTLINES}::test_a_broken_file"),
    Mutation("datamodules/files/idd_polygons.py", "0 < width * height <= MOST_PIXELS", "0 < width * height", f"{LABELME}::test_a_size_beyond"),
    Mutation("datamodules/files/idd_polygons.py", "(TypeError, ValueError, OverflowError)", "(TypeError, ValueError)", f"{OUTLINES}::test_a_broken_file"),
    Mutation("datamodules/files/idd_polygons.py", "if np.isfinite(corners).all() else None", "", f"{OUTLINES}::test_a_broken_file"),
    Mutation("datamodules/files/labelme.py", ', formats=("PNG",)', "", f"{LABELME}::test_a_postscript"),
    Mutation("datamodules/files/coco.py", "height * width > MOST_PIXELS or ", "", f"{COCO}::test_what_cannot_be_drawn"),
    Mutation("datamodules/files/coco.py", "if shift > MOST_BITS:", "if False:", f"{COCO}::test_what_cannot_be_drawn"),
    Mutation("datamodules/files/masks.py", "np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)", "np.load(io.BytesIO(read_bytes(path)), allow_pickle=True)", "tests/datamodules/files/test_mask_files.py::test_an_array_of_objects"),
    Mutation("datamodules/files/other_files.py", "tokenize.TokenError, ", "", "tests/datamodules/files/test_mask_files.py::test_an_array_file_with"),
    Mutation("datamodules/files/audit.py", "and facts.st_size <= LARGEST", "", "tests/datamodules/files/test_audit.py::test_a_file_that_is_larger"),
    Mutation("datamodules/files/audit.py", "stat.S_ISREG(facts.st_mode) and ", "", "tests/datamodules/files/test_audit.py::test_what_is_no_file"),
    Mutation("datamodules/files/audit.py", "if written == _sealed(text) else None", "", "tests/datamodules/files/test_audit.py::test_a_broken_memory"),
    Mutation("datamodules/files/image_files.py", "if (facts.st_dev, facts.st_ino) in entered:", "if False:", "tests/datamodules/files/test_image_files.py"),
    Mutation("lightning_modules/weights/safe_load.py", 'map_location="cpu", weights_only=True, mmap=in_file', 'map_location="cpu", weights_only=False, mmap=in_file', f"{WEIGHTS}::test_code_in_a_checkpoint"),
    Mutation("lightning_modules/weights/safe_load.py", "if more:", "if False:", f"{WEIGHTS}::test_an_archive_that_would_expand"),
    Mutation("lightning_modules/weights/safe_load.py", "next(seen) > MOST_DICTS or ", "", f"{WEIGHTS}::test_a_dict_under_many_keys"),
    Mutation("lightning_modules/weights/formats.py", "itertools.islice(pickletools.genops(content), MOST_OPERATIONS)", "pickletools.genops(content)", f"{WEIGHTS}::test_a_pickle_of_many"),
    Mutation("entry/checkpoint.py", ' or space.keys() != {"label_space", "classes"}', "", "tests/entry/test_checkpoint.py"),
    Mutation("entry/checkpoint.py", "if len({*classes}) < len(classes):", "if False:", "tests/entry/test_checkpoint.py::test_values_of_other"),
    Mutation("entry/config/run_config.py", "if isinstance(event, yaml.AliasEvent):", "if False:", f"{CONFIG}::test_a_damaged_configuration"),
    Mutation("entry/config/run_config.py", "if depth > DEEPEST:", "if False:", f"{CONFIG}::test_a_damaged_configuration"),
    Mutation("entry/config/run_config.py", "    check_targets(settings, allow)\n    return settings", "    return settings", f"{CONFIG}::test_what_a_run_folder_names"),
    Mutation("entry/config/allowlist.py", 'and not part.startswith("_")', "", "tests/entry/config/test_allowlist.py::test_nothing_is_imported"),
    Mutation("entry/config/targets.py", '''if "${" in key or (isinstance(value, str) and "${" in value):''', "if False:", "tests/entry/config/test_targets.py"),
    Mutation("settings/base.py", "if not abs(value) <= sys.float_info.max:", "if value != value:", "tests/settings/test_base.py::test_a_number_is_finite"),
    Mutation("reports/evaluation_files.py", "if sum(expanded) > EXPANDED:", "if False:", f"{SCORES}::test_an_archive_is_bounded"),
    Mutation("reports/evaluation_files.py", "values.min() >= 0 and", "", f"{SCORES}::test_columns"),
    Mutation("entry/comparable.py", '''if merged is None and abs(''', '''if False and abs(''', "tests/entry/test_comparable.py::test_scores_that_do_not"),
    Mutation("run_files.py", "except (csv.Error, UnicodeDecodeError) as error:", "except csv.Error as error:", "tests/test_run_files.py::test_damaged_files_are_named"),
    Mutation("run_files.py", "            TypeAdapter(model).validate_json(text, strict=True)", "            pass", "tests/test_run_files.py::test_a_value_of_another_type"),
    Mutation("run_files.py", "                model.model_validate(row)", "                pass", "tests/test_run_files.py::test_a_cell_that_is_no_number"),
    Mutation("run_files.py", "allow_nan=False", "allow_nan=True", "tests/test_run_files.py::test_json_that_cannot_be_written"),
    Mutation("reports/html/files.py", "found.shape != (side, side) or found.min() < 0", "False", "tests/reports/html/test_files.py::test_a_table_that_was_changed"),
)  # fmt: skip


def run(tree: Path, tests: Sequence[str], seconds: int = 0) -> int:
    """Run tests in a copy of the tree, in a fork of this process, which has imported what is slow; return pytest's exit code.

    Either all of them have a part of a name after ::, or none has. After `seconds`, unless 0, they are ended: -SIGALRM.
    """
    files, names = ([each.partition("::")[place] for each in tests] for place in (0, 2))
    chosen = [*dict.fromkeys(files), "-k", " or ".join(names)] if _has_part(tests[0]) else tests
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(each for each in sys.path if each not in ("", str(ROOT)))]
        for module in [each for each in sys.modules if each.partition(".")[0] == "tests"]:
            del sys.modules[module]
        sys.dont_write_bytecode = True
        options = ("-q", "-x", "-m", "not slow", "-p", "no:xdist", "-p", "no:cacheprovider", f"--rootdir={tree}")
        os._exit(pytest.main([*options, *chosen]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _has_part(test: str) -> bool:
    return "::" in test


def mutated(tree: Path, mutation: Mutation) -> str:
    """Apply a mutation, and return the text before it."""
    before = (tree / mutation.file).read_text(encoding="utf-8")
    assert before.count(mutation.text) == 1, (
        f"{mutation.file}: {mutation.text!r} is there {before.count(mutation.text)} times"
    )
    (tree / mutation.file).write_text(before.replace(mutation.text, mutation.replacement), encoding="utf-8")
    return before


def survivors(mutations: Sequence[Mutation]) -> list[Mutation]:
    """Return the mutations that their tests do not notice."""
    found = []
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
        for file in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
            if not (ROOT / file).is_file():  # deleted, or a link to a folder
                continue
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tree / file)
        tests = [*dict.fromkeys(each.test for each in mutations)]
        for group in ([test for test in tests if _has_part(test) is kind] for kind in (True, False)):
            assert not group or run(tree, group) == 0, f"not all of {', '.join(group)} pass on the unchanged tree"
        print("The tests pass on the unchanged tree.", flush=True)
        for each in mutations:
            before = mutated(tree, each)
            caught = run(tree, [each.test], LONGEST) in (FAILED, -signal.SIGALRM)
            (tree / each.file).write_text(before, encoding="utf-8")
            print(f"{'caught' if caught else 'SURVIVED'}  {each.file}: {each.text.strip()!r}", flush=True)
            found += [] if caught else [each]
    return found


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]] or range(len(MUTATIONS))
    sys.exit(len(survivors([MUTATIONS[number] for number in numbers])))
