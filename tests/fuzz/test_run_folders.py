"""Files of a run folder as they are read back, and caches."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from callbacks.history import EpochRows
from datamodules.files.audit import audit
from datamodules.files.image_cache import cached_images
from entry.builders.loggers import description, of_run
from entry.cli.sweeps import resumed
from entry.comparable import check_comparable, read_evaluations
from entry.comparison import compare
from entry.config.resolve import resolved
from entry.config.run_config import read_settings
from entry.evaluation.summary import print_limit, print_summary, print_validated
from entry.sweep_page import write as write_sweep_page
from entry.winner import recipes_of
from hydra_plugins.idd_lightning._jobs import Sweep
from reports.html.evaluation import Gallery, write_report
from run_files import Environment, read_json
from run_folder import RunFolder, write_json
from tests.compared import write_masks, write_run
from tests.entry.config.test_resolve import request
from tests.fuzz.mutations import changed_bytes, changed_json, changed_table, changed_values, check, fuzzed, profile
from tests.reports.html.conftest import classified
from tests.reports.html.conftest import write_run as write_run_folder
from tests.swept import write_job, write_sweep

CONTENT = bytes(range(180))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, str]]:
    place = tmp_path_factory.mktemp("runs")
    return {
        "images": (write_run(place / "a", 0.9), write_run(place / "b", 0.7), "test"),
        "masks": (write_masks(place / "c", 0.8), write_masks(place / "d", 0.6), "val"),
    }


def compared(first: Path, second: Path, split: str) -> None:
    found = read_evaluations([first, second], split)
    check_comparable(found, ["resolution", "looks"])
    compare([[each] for each in found], [])


@st.composite
def changed_arrays(draw: st.DrawFn, original: bytes) -> bytes:
    """An archive of arrays of which some are gone, of another length, type or shape, or hold a value out of range."""
    if draw(st.integers(0, 2)) == 0:
        return draw(changed_bytes([original]))
    with np.load(io.BytesIO(original)) as file:
        arrays = dict(file)
    for name in draw(st.lists(st.sampled_from([*arrays]), min_size=1, max_size=2, unique=True)):
        array = arrays[name]
        if array.dtype.kind in "iuf" and draw(st.booleans()):
            array[draw(st.integers(0, len(array) - 1))] = draw(st.sampled_from([-1, 10**6, 2**30, -(2**31)]))
            continue
        others = [
            array[:-1],
            np.concatenate([array, array]),
            array.reshape(-1, 1),
            np.array(5),
            np.full(array.shape, "x"),
            array.astype("O"),
            None,
        ]
        arrays[name] = draw(st.sampled_from(others))
    arrays = {name: array for name, array in arrays.items() if array is not None}
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@fuzzed(20, 400)
@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("name", ["per_sample.npz", "scores.json"])
def test_changed_evaluations(pairs, kind: str, name: str, cases: int) -> None:
    first, second, split = pairs[kind]
    file, refused = first / "evaluation" / split / name, 0
    original = file.read_bytes()
    changed = changed_arrays(original) if name.endswith("npz") else changed_json(json.loads(original))

    @profile(cases)
    @given(changed)
    def test(content: bytes) -> None:
        nonlocal refused
        refused += check(file, content, lambda: compared(first, second, split))

    try:
        assert check(file, original, lambda: compared(first, second, split)) == 0
        test()
    finally:
        file.write_bytes(original)
    assert refused > cases / 10


@st.composite
def changed_yaml(draw: st.DrawFn, original: str) -> bytes:
    if draw(st.integers(0, 2)) == 0:
        return draw(changed_bytes([original.encode()]))
    return yaml.safe_dump(draw(changed_values(yaml.safe_load(original)))).encode(errors="surrogatepass")


@fuzzed(50, 700)
def test_changed_configurations(pairs, tmp_path: Path, cases: int) -> None:
    original = (pairs["images"][0] / "config.yaml").read_text()
    folder, refused = RunFolder(tmp_path), 0

    @profile(cases)
    @given(changed_yaml(original))
    def test(content: bytes) -> None:
        nonlocal refused
        refused += check(folder.config, content, lambda: read_settings(folder, ()))

    assert check(folder.config, original.encode(), lambda: read_settings(folder, ())) == 0
    test()
    assert refused > cases / 4


@fuzzed(20, 300)
def test_changed_memories_of_audits_are_not_used(tmp_path: Path, cases: int) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    root.mkdir()
    for number in range(2):
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(root / f"{number}.png")
    names = ["0.png", "1.png"]
    expected = audit(root, names, cache)
    (memory,) = cache.iterdir()
    original = memory.read_bytes()

    @profile(cases)
    @given(changed_json(json.loads(original)) | changed_bytes([original]))
    def test(content: bytes) -> None:
        found = []
        assert check(memory, content, lambda: found.append(audit(root, names, cache))) == 0
        assert found == [expected]

    test()


@fuzzed(20, 300)
def test_changed_caches_of_images_are_made_anew_or_have_the_shape(tmp_path: Path, cases: int) -> None:
    file, images = tmp_path / "a.npy", np.frombuffer(CONTENT, np.uint8).reshape(3, 4, 5, 3)
    cached_images(file, 3, (4, 5, 3), lambda row: images[row])
    original = file.read_bytes()

    @profile(cases)
    @given(changed_bytes([original]))
    def test(content: bytes) -> None:
        found = []
        assert (
            check(file, content, lambda: found.append(cached_images(file, 3, (4, 5, 3), lambda row: images[row]))) == 0
        )
        assert found[0].shape == images.shape
        assert found[0].sum() >= 0  # is read to its end

    test()


def fuzz(file: Path, read: Callable[[], object], cases: int) -> None:
    """Read a file as it is, and with changes, of which more than a tenth must be refused."""
    original, refused = file.read_text(), 0
    changed = changed_table(original) if file.suffix == ".csv" else changed_json(json.loads(original))

    @profile(cases)
    @given(changed)
    def test(content: bytes) -> None:
        nonlocal refused
        refused += check(file, content, read)

    assert check(file, original.encode(), read) == 0
    test()
    assert refused > cases / 10


RUN_FILES = ("environment.json", "history.csv", "timing.csv", "split.csv", "evaluation/test/status.json", "evaluation/test/scores.json", "evaluation/test/confusion.csv", "evaluation/test/class_counts.csv")  # fmt: skip


@fuzzed(30, 300)
@pytest.mark.parametrize("name", RUN_FILES)
def test_changed_files_of_a_run(tmp_path: Path, name: str, cases: int) -> None:
    config = resolved(request(tmp_path, "model=custom_cnn")).to_yaml()
    files = write_run_folder(
        tmp_path / "run", classified([0, 1, 1, 2], [0, 1, 2, 2], [0.9, 0.8, 0.6, 0.7], ("a", "b", "c")), config
    )
    run, file = files.run, files.run.path / name
    settings = read_settings(run, ())
    facts = {**read_json(run.environment), **description(settings), "headline": "f1_macro", "cores": 2, "devices": 1, "accelerator": "cpu"}  # fmt: skip
    write_json(run.environment, facts)

    def read() -> None:
        """Read what a resumed training, its summary and its page read."""
        of_run(read_json(run.environment, Environment))
        EpochRows(run.history).on_train_start(Mock(current_epoch=2), Mock())
        print_limit(run, settings)
        print_validated(run, "f1_macro")
        print_summary(run, "test")
        write_report(files.folder, run, "f1_macro", Gallery())

    fuzz(file, read, cases)


SWEEP_FILES = ("sweep.json", "sweep.csv", "jobs/0.json", "0/environment.json", "0/history.csv", "0/status.json")


@fuzzed(20, 200)
@pytest.mark.parametrize("name", SWEEP_FILES)
def test_changed_files_of_a_sweep(tmp_path: Path, name: str, cases: int) -> None:
    folder = write_sweep(tmp_path / "s")
    for number, score in enumerate((0.5, 0.75)):
        run = write_job(folder, number, [f"seed={number}"], scores=[score, score])
        (run / "config.yaml").write_text(resolved(request(tmp_path, "model=custom_cnn", f"seed={number}")).to_yaml())
    sweep, file = Sweep.open(folder), folder / name
    for record in sweep.records.values():
        record.learn(sweep.folder(record.number))
        sweep.keep(record)
    sweep.write_table()

    def read() -> None:
        """Read what a resumed sweep, its table, its page and the choice of its winner read."""
        resumed(["-m", f'sweep.resume="{folder}"'])
        write_sweep_page(folder)
        found = Sweep.open(folder)
        for record in found.records.values():
            record.learn(folder / str(record.number))
        found.best()
        recipes_of(folder)

    fuzz(file, read, cases)
