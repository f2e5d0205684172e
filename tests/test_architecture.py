"""The rules of the source tree, read from the source: who imports what, how long things are, and where the tests are."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"train", "evaluate", "predict", "explore", "compare", "export"}
GROUND = {"settings", "metrics", "label_spaces", "run_files", "run_folder", "streams"}
GROUND_MAY_USE = {"run_files": {"run_folder"}}  # of the ground floor
MIDDLE = {"datamodules", "lightning_modules", "callbacks", "reports"}
TOP = {"entry", *COMMANDS}
OURS = GROUND | MIDDLE | TOP
HYDRA = {"hydra", "omegaconf"}
# `python train.py --help` reads the settings: nothing that is slow to import.
SETTINGS_MAY_USE = {"annotated_types", "pydantic", "pydantic_core", "yaml"}
REST = "*"  # all files of a room that are not named
# From the ground up: the files and folders of a room; each may use those below it, but not those beside it.
FLOORS: Mapping[str, Sequence[set[str]]] = {
    "settings": ({"base"}, {"mixing"}, {"data", "model", "training", "evaluation", "export", "errors"}, {"run"}, {"changes"}),
    "datamodules": ({"errors"}, {"splits"}, {"files"}, {"loading"}, {"crop_rules"}, {"synthetic"}, {REST}),
    "lightning_modules": ({"errors"}, {"networks", "weights", "schedules", "losses", "parameter_groups", "test_time_augmentation"}, {"checkpoint_io", "hard_losses", "mixed_loss", "supervised"},
                          {"classification", "segmentation"}),
    "reports": ({"figures"}, {REST}),
    "entry": ({"errors"}, {"request", "exported"}, {"gpu_support", "launchers"}, {"hardware"}, {"config", "builders", "checkpoint"}, {"run"}, {"console", "model", "progress", "steps"}, {"evaluation", "video"}, {"common"}, {"comparable", "comparison_pictures", "label_errors", "requirement"}, {"comparison", "sweep_page", "exploration", "export", "job", "prediction", "resume"},
              {"distributed", "folds"}, {"launch"}, {"external", "trained", "fetch", "profile", "batch_size"}, {"winner"}, {"cli"}),
}  # fmt: skip
DRAWN_STREETS = "datamodules.synthetic"
MOST_LINES, MOST_OF_A_COMMAND, MOST_OF_A_FUNCTION, UNTESTED = 300, 120, 50, 40


def sources() -> list[Path]:
    """Every source file: those of the rooms, and the commands."""
    return [path for name in sorted(OURS) for path in (*(ROOT / name).rglob("*.py"), ROOT / f"{name}.py") if path.exists()]  # fmt: skip


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def imported(text: str) -> set[str]:
    """The modules that a source imports, at its top or within functions; of `from entry import run` entry.run."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in full if name.split(".")[0] in OURS and is_module(name)}
            names |= modules | ({str(node.module)} if modules != full else set())
    return names


def broken_rules(user: str, modules: set[str]) -> list[str]:
    """Which of the modules a module must not import."""
    room, bad = user.split(".", maxsplit=1)[0], []
    for module in sorted(modules):
        to = module.split(".")[0]
        if to in COMMANDS and room != to:
            bad.append(f"{user} uses the command {module}")
        elif room in GROUND and (to in OURS - {room} - GROUND_MAY_USE.get(room, set()) or to in HYDRA | {"lightning"}):
            bad.append(f"{user} of the ground floor uses {module}")
        elif room == "settings" and to in {"torch", "numpy", "torchvision", "albumentations"}:
            bad.append(f"{user} uses {module}, which is slow to import")
        elif room in MIDDLE and to in TOP | HYDRA:
            bad.append(f"{user} uses {module} of the floor above")
        elif room in COMMANDS and to in HYDRA:
            bad.append(f"{user} uses {module}; only entry does")
        elif {room, to} == {"datamodules", "lightning_modules"}:
            bad.append(f"{user} uses {module}")
        elif module.startswith(DRAWN_STREETS + ".") and not user.startswith(DRAWN_STREETS):
            bad += [] if user == "datamodules.synthetic_idd" else [f"{user} uses {module}"]
        if room == to and room in FLOORS and not below(room, module, user):
            bad.append(f"{user} uses {module}, which is not below it")
    return bad


def below(room: str, module: str, user: str) -> bool:
    """Whether one module of a room may be used by another one of it."""
    used, using = (floor_of(room, name) for name in (module, user))
    return used < using or (used == using and part_of(room, module) == part_of(room, user))


def part_of(room: str, module: str) -> str:
    """The file or folder directly in a room that a module lies in, or REST."""
    part = module.split(".")[1] if "." in module else REST
    return part if any(part in floor for floor in FLOORS[room]) else REST


def floor_of(room: str, module: str) -> int:
    if module == room:
        return len(FLOORS[room])  # __init__.py: nothing but a docstring, or what Python imports from the room
    found = [number for number, floor in enumerate(FLOORS[room]) if part_of(room, module) in floor]
    assert found, f"{module} has no place in FLOORS"
    return found[0]


def test_every_import_keeps_to_the_floors():
    files = sources()
    assert len(files) > 100
    assert [rule for path in files for rule in broken_rules(name_of(path), imported(path.read_text()))] == []


@pytest.mark.parametrize(
    ("user", "module"),
    [
        ("metrics.scores", "label_spaces.space"), ("metrics.scores", "lightning"), ("run_folder", "omegaconf"), ("run_folder", "settings.run"), ("run_folder", "run_files"), ("run_files", "settings.run"),
        ("settings.run", "run_folder"), ("settings.run", "torch"), ("settings.run", "omegaconf"), ("settings.base", "settings.run"),
        ("datamodules.base", "lightning_modules.supervised"), ("lightning_modules.supervised", "datamodules.base"), ("callbacks.ema", "hydra"),
        ("reports.evaluation", "entry.builders.modules"), ("entry.run", "train"), ("train", "hydra"),
        ("datamodules.splits.split", "datamodules.files.images"), ("datamodules.files.images", "datamodules.loading.dataset"),
        ("datamodules.files.images", "datamodules.base"), ("datamodules.loading.dataset", "datamodules.sample_index"),
        ("datamodules.synthetic.sheet", "datamodules.idd"), ("datamodules.idd", "datamodules.synthetic.street"),
        ("reports.figures.style", "reports.evaluation"), ("lightning_modules.networks.resnet", "lightning_modules.supervised"),
        ("lightning_modules.weights.load", "lightning_modules.networks.resnet"), ("lightning_modules.classification", "lightning_modules.segmentation"),
        ("entry.request", "entry.hardware"), ("entry.config.resolve", "entry.builders.modules"), ("entry.builders.trainer", "entry.config.resolve"),
        ("entry.builders.modules", "entry.run"), ("entry.evaluation.evaluate", "entry.job"), ("entry.evaluation.evaluate", "entry.distributed.worker"),
        ("entry.job", "entry.resume"), ("entry.distributed.worker", "entry.launch"), ("entry.external", "entry.cli.command"),
        ("entry.errors", "entry.request"),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_noticed(user, module):
    assert broken_rules(user, {module}) != []


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import hydra.utils", {"hydra.utils"}),
        ("from entry import console, run", {"entry.console", "entry.run"}),
        ("from entry.errors import RequestError", {"entry.errors"}),
        ("def f():\n    from train import train", {"train"}),
    ],
)
def test_imports_are_found_wherever_they_are(text, modules):
    assert imported(text) == modules


def test_settings_use_few_packages():
    used = {name.split(".")[0] for path in (ROOT / "settings").glob("*.py") for name in imported(path.read_text())}
    installed = {name for name in used if name not in sys.stdlib_module_names}
    assert installed <= SETTINGS_MAY_USE | {"settings"}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A way from a node back to itself, or nothing."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail, name]
        found: list[str] = []
        for used in () if name in done else sorted(graph.get(name, ())):
            found = found or visit(used, [*trail, name])
        done.add(name)
        return found

    return next((found for name in graph if (found := visit(name, []))), [])


def test_no_circle_of_rooms_and_none_of_modules():
    modules = {name_of(path): imported(path.read_text()) for path in sources()}
    rooms: dict[str, set[str]] = {}
    for name, used in modules.items():
        room = name.split(".")[0]
        rooms.setdefault(room, set()).update({other.split(".")[0] for other in used} & OURS - {room})
    assert circle(rooms) == []
    assert circle({name: used & modules.keys() for name, used in modules.items()}) == []


def test_a_circle_is_noticed():
    assert circle({"a": {"b", "d"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def untyped_settings(text: str) -> list[str]:
    """Functions that take a configuration as a dict."""
    found = []
    for function in functions(text):
        arguments = function.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            kind = "" if each.annotation is None else ast.unparse(each.annotation)
            named = each.arg in ("config", "cfg", "conf", "settings")
            if named and any(kind.startswith(f"{mapping}[str, ") for mapping in ("Mapping", "dict", "MutableMapping")):
                found.append(f"{function.name}({each.arg}: {kind})")
    return found


def test_settings_are_passed_as_objects():
    assert [f"{name_of(path)}.{each}" for path in sources() for each in untyped_settings(path.read_text())] == []


def test_a_configuration_that_is_a_dict_is_noticed():
    text = "def f(config: Mapping[str, Any]): ...\ndef g(*, settings: dict[str, Any] | None = None): ...\ndef h(values: dict[str, Any]): ..."
    assert untyped_settings(text) == ["f(config: Mapping[str, Any])", "g(settings: dict[str, Any] | None)"]


def without_encoding(text: str) -> list[str]:
    """Text files that are read or written in the encoding of the machine's locale."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        values = [value.value for value in (*node.args, *keywords.values()) if isinstance(value, ast.Constant)]
        mode = next((value for value in values if isinstance(value, str) and set(value) <= set("rwaxbt+")), "r")
        of_text = called == "open" and "b" not in mode and ast.unparse(node.func) not in ("os.open", "Image.open", "RunFolder.open", "Sweep.open", "opener.open", "tarfile.open", "av.open")  # fmt: skip
        method = called in ("read_text", "write_text") and isinstance(node.func, ast.Attribute)
        in_words = called in ("run", "Popen", "check_output") and (
            "text" in keywords or "universal_newlines" in keywords
        )
        if of_text or method or in_words:
            found.append(ast.unparse(node))
    return found


def test_text_files_have_their_encoding():
    assert [
        f"{name_of(path)}: {each}" for path in sources() for each in without_encoding(path.read_text("utf-8"))
    ] == []


@pytest.mark.parametrize(
    ("text", "noticed"),
    [
        ("path.read_text()", True), ("path.read_text(encoding='utf-8')", False), ("path.write_text(text)", True), ("write_text(path, text)", False),
        ("path.open()", True), ("open(name, 'w')", True), ("path.open('rb')", False), ("path.open('w', encoding='utf-8')", False),
        ("subprocess.run(['git'], text=True)", True), ("subprocess.run(['git'])", False), ("os.open(path, os.O_RDONLY)", False),
    ],
)  # fmt: skip
def test_a_text_file_without_its_encoding_is_noticed(text, noticed):
    assert bool(without_encoding(text)) == noticed


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def too_long(name: str, text: str) -> list[str]:
    """What in a source file is longer than it may be."""
    lines = text.count("\n")
    found = [f"{name}: {lines} lines"] if lines > (MOST_OF_A_COMMAND - 1 if name in COMMANDS else MOST_LINES) else []
    return found + [f"{name}.{each.name}: {length(each)} lines" for each in functions(text) if length(each) > MOST_OF_A_FUNCTION]  # fmt: skip


def test_files_commands_and_functions_are_short():
    assert [each for path in sources() for each in too_long(name_of(path), path.read_text())] == []


def test_a_long_file_command_or_function_is_noticed():
    assert too_long("metrics.scores", "\n" * 300) == []
    assert too_long("metrics.scores", "\n" * 301) == ["metrics.scores: 301 lines"]
    assert too_long("train", "\n" * 120) == ["train: 120 lines"]
    documented = 'def f():\n    """A docstring."""\n'
    assert too_long("metrics.scores", documented + "    a = 1\n" * 49) == []
    assert too_long("metrics.scores", documented + "    a = 1\n" * 50) == ["metrics.scores.f: 51 lines"]


def untested(files: Mapping[str, int], tests: set[str]) -> list[str]:
    """Source files with logic, by their number of lines, that have no test at their path."""
    wanted = {name: str(Path(name).parent / f"test_{Path(name).name}") for name, n in files.items() if n > UNTESTED}
    return [name for name, test in wanted.items() if test not in tests]


def test_tests_mirror_the_tree():
    files = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources()}
    tests = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert untested(files, tests) == []


def test_plugins_use_nothing_of_ours_but_the_run_folder_and_have_tests():
    for path in (ROOT / "hydra_plugins").rglob("*.py"):
        text = path.read_text()
        assert {name.split(".")[0] for name in imported(text)} & OURS <= {"run_files", "run_folder"}, path
        assert text.count("\n") <= MOST_LINES
        test = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name.lstrip('_')}")
        assert test.exists() or text.count("\n") <= UNTESTED, test


def test_a_file_without_a_test_is_noticed():
    files = {"metrics/scores.py": 41, "metrics/confusion.py": 90, "metrics/short.py": 40, "train.py": 50}
    assert untested(files, {"metrics/test_confusion.py", "test_scores.py"}) == ["metrics/scores.py", "train.py"]


def private_names(text: str) -> list[str]:
    """Private names of ours that a test imports, or names in a text such as a patch's; ruff's SLF finds attributes."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            names = [node.value]
        for name in names:
            room, *parts = name.split(".")
            if room in OURS and any(part.startswith("_") and part.strip("_").isidentifier() and not part.endswith("__") for part in parts):  # fmt: skip
                found.append(name)
    return [name for name in found if not name.endswith(("._target_", "._partial_"))]


def test_no_test_uses_a_private_name():
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.resolve() != Path(__file__).resolve()]
    assert len(tests) > 100
    assert [f"{path.relative_to(ROOT)}: {name}" for path in tests for name in private_names(path.read_text())] == []


def test_a_private_name_is_noticed():
    text = (
        'from entry.run import _git_commit, session\npatch("entry.run._git_commit", None)\nx = "optimizer._target_"\n'
    )
    assert private_names(text) == ["entry.run._git_commit", "entry.run._git_commit"]


def test_every_package_has_its_floor():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"benchmarks", "tests"} <= OURS
