"""The house rules of imports: who may use whom. Read from the source, so that a rule broken anywhere is found."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOORS = {"train", "evaluate", "predict", "explore", "compare", "export"}
GROUND = {"metrics", "label_spaces", "run_folder", "settings"}
MIDDLE = {"datamodules", "lightning_modules", "callbacks", "reports"}
TOP = {"entry", *DOORS}
OURS = GROUND | MIDDLE | TOP
HYDRA = {"hydra", "omegaconf"}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    folders = [ROOT / name for name in OURS if (ROOT / name).is_dir()]
    return [
        *(p for f in folders for p in f.rglob("*.py")),
        *(ROOT / f"{n}.py" for n in OURS if (ROOT / f"{n}.py").exists()),
    ]


def imported(text: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return names


def broken_rules(room: str, modules: set[str]) -> list[str]:
    """Which of the modules a room must not import."""
    bad = []
    for module in sorted(modules):
        to = module.split(".")[0]
        if to in DOORS and room != to:
            bad.append(f"{room} uses the door {module}")
        elif room in GROUND and (to in (OURS - {room}) or to in HYDRA | {"lightning"}):
            bad.append(f"ground floor {room} uses {module}")
        elif room in MIDDLE and to in TOP | HYDRA:
            bad.append(f"{room} uses {module} of the floor above")
        elif {room, to} == {"datamodules", "lightning_modules"}:
            bad.append(f"{room} uses {module}")
    return bad


def test_every_import_keeps_to_the_floors():
    files = sources()
    assert len(files) > 20
    assert [
        f"{p.relative_to(ROOT)}: {rule}" for p in files for rule in broken_rules(room_of(p), imported(p.read_text()))
    ] == []


def test_rooms_have_no_circles():
    uses: dict[str, set[str]] = {}
    for path in sources():
        room = room_of(path)
        uses.setdefault(room, set()).update({m.split(".")[0] for m in imported(path.read_text())} & OURS - {room})

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        return any(n == goal or (n not in seen and reaches(n, goal, seen | {n})) for n in uses.get(start, ()))

    assert [room for room in uses if reaches(room, room, set())] == []


def test_modules_have_no_circles():
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in sources()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        graph[name] = imported(path.read_text()) & names.keys()  # those that wait inside a function too
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for used in graph[name]:
                visit(used, (*trail, name))
            done.add(name)

    for name in names:
        visit(name, ())


@pytest.mark.parametrize(
    ("room", "module"),
    [("metrics", "label_spaces.space"), ("metrics", "lightning"), ("run_folder", "omegaconf"), ("datamodules", "lightning_modules.supervised"),
     ("lightning_modules", "datamodules.base"), ("callbacks", "hydra"), ("reports", "entry.builders.modules"), ("entry", "train")],
)  # fmt: skip
def test_the_rules_notice(room, module):
    assert broken_rules(room, {module}) != []


def test_doors_are_short_and_files_are_rooms():
    lengths = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in sources()}
    assert {name: n for name, n in lengths.items() if n > 300} == {}
    assert {name: n for name, n in lengths.items() if name.removesuffix(".py") in DOORS and n >= 120} == {}
