"""Files of torch.export (.pt2), written and read without pickles and without code.

``torch.export.load`` trusts its file: it unpickles the sample inputs and what is marked as pickled, evaluates the expressions of sizes
with sympy, executes the text of guards, and looks targets up in all of torch. So a file is rebuilt from the parts that are data before
torch sees it: the graph without its notes, in which every target, expression and guard must be a known one, and the bytes of tensors.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from lightning_modules.errors import NetworkError

GRAPH, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
TENSORS = {"data/weights/": "model_weights_config.json", "data/constants/": "model_constants_config.json"}
LARGEST_TEXT = 64 * 2**20  # bytes of the JSON in it
LONGEST_EXPRESSION = 20_000  # characters
TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b)[A-Za-z0-9_]+\.[A-Za-z0-9_]+"  # from_file maps any file
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|torch\.sym_(max|min|float|int|not|ite|sum)|math\.(ceil|floor|trunc)"
)
# What expressions of sizes consist of, as sympy writes their parts; no attribute, no power, no text but a symbol's name.
FUNCTIONS = ("Integer|Rational|Add|Mul|Max|Min|FloorDiv|CeilDiv|CleanDiv|Mod|PythonMod|ModularIndexing|Where|CeilToInt|FloorToInt|"
             "TruncToInt|RoundToInt|ToFloat|IntTrueDiv|FloatTrueDiv|TruncToFloat|Identity|Equality|Unequality|StrictLessThan|LessThan|"
             "StrictGreaterThan|GreaterThan|And|Or|Not|true|false")  # fmt: skip
EXPRESSION = re.compile(
    rf"(?:Symbol\('[su]\d+'(?:, (?:positive|nonnegative|integer)=True)*\)|\b(?:{FUNCTIONS}|\d+)\b|[-+/*%(), ](?!\*))*"
)
GUARD = re.compile(
    r"(?:\bL\['images'\]\.size\(\)\[[0-3]\]|\btorch\.sym_(?:max|min)\b|\b(?:and|or|not|max|min|\d+)\b|\*(?!\*)|[-+/%(),<>=! ])*"
)
SYMBOL = re.compile(r"[su]\d+")
# How arguments of an operation may be given: numbers, texts, and names of tensors and sizes.
ARGUMENTS = {f"as_{kind}" for kind in ("none", "tensor", "tensors", "int", "ints", "float", "floats", "bool", "bools", "string", "strings",
             "scalar_type", "memory_format", "layout", "device", "name", "expr", "sym_int", "sym_ints", "sym_bool", "sym_float",
             "optional_tensor", "optional_tensors")}  # fmt: skip
TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
# What reading a file that is none of torch.export, or a damaged one, may raise.
UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, EOFError,
              NotImplementedError, zipfile.BadZipFile)  # fmt: skip


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program whose file holds no pickle."""
    whole = io.BytesIO()
    torch.export.save(program, whole)
    path.write_bytes(rebuilt(whole))


def read_program(path: Path) -> ExportedProgram:
    """Read a program. Raises NetworkError naming the file where it is none, is damaged, or would have to run code to be read."""
    try:
        return torch.export.load(io.BytesIO(rebuilt(path)))
    except NetworkError:
        raise
    except UNREADABLE as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
        raise NetworkError(f"{path} cannot be read as a program of torch.export: {reason}") from None


def rebuilt(file: Path | io.BytesIO) -> bytes:
    """Return a file again, from its graph and its tensors alone. Raises NetworkError for anything in it that is not plain data."""
    from torch.export.pt2_archive._package import PT2ArchiveWriter

    name = str(file) if isinstance(file, Path) else "The program"
    content = io.BytesIO()
    with zipfile.ZipFile(file) as archive, PT2ArchiveWriter(content) as writer:
        top = archive.namelist()[0].partition("/")[0]

        def read(record: str, most: int | None = None) -> bytes:
            facts = archive.getinfo(f"{top}/{record}")
            if most is not None and facts.file_size > most:
                raise ValueError(f"{record} has {facts.file_size} bytes, and {most} at most are read")
            return archive.read(facts)

        graph = json.loads(read(GRAPH, LARGEST_TEXT))
        for node in graph["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {}  # of the tracing: where in the source it was
        if problem := next(problems(graph), None):
            raise NetworkError(f"{name} would have to run code to be read, so it was not: {problem}.")
        writer.write_bytes(GRAPH, json.dumps(graph).encode())
        for folder, config in TENSORS.items():
            text = read(folder + config, LARGEST_TEXT)
            for record in _tensor_records(json.loads(text), name):
                writer.write_bytes(folder + record, read(folder + record))
            writer.write_bytes(folder + config, text)
        writer.write_bytes(SAMPLES, b"")
    return content.getvalue()


def _tensor_records(listed: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield each file of tensors once. Raises NetworkError for one that is pickled."""
    found = {str(each["path_name"]): each for each in listed["config"].values()}
    for record, facts in found.items():
        if facts["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", record):
            raise NetworkError(f"{name} would have to run code to be read, so it was not: {record} is pickled.")
        yield record


def problems(node: object, place: str = "") -> Iterator[str]:
    """Yield a sentence for everything in a graph's JSON that torch would look up, evaluate or execute, and is not known to be harmless."""
    if isinstance(node, list):
        for each in node:
            yield from problems(each, place)
    elif isinstance(node, dict):
        for key, value in node.items():
            if (problem := _problem(key, value, of_node="nodes" in place)) is not None:
                yield problem
            yield from problems(value, f"{place}.{key}")


def _problem(key: str, value: Any, *, of_node: bool) -> str | None:
    """What is wrong with the value of one key, the keys in it apart; None: nothing."""
    texts: dict[str, tuple[re.Pattern[str], str]] = {
        "target": (TARGET, "is no operation on tensors or sizes"),
        "expr_str": (EXPRESSION, "is no expression of sizes"),
        "guards_code": (GUARD, "is no condition on sizes"),
        "range_constraints": (SYMBOL, "is no size"),
    }
    if key in texts and (of_node or key != "target"):
        pattern, reason = texts[key]
        strange = [each for each in ([value] if isinstance(value, str) else value) if not _matches(pattern, each)]
        return f"{str(strange[0])[:80]!r} {reason}" if strange else None
    if key in ("in_spec", "out_spec", "treespec") and value and not _is_plain_tree(json.loads(value)[1]):
        return f"{key} holds more than tuples and lists"
    if (key.startswith("as_") and key not in ARGUMENTS) or (key == "treespec_namedtuple_fields" and value):
        return f"it uses {key}"
    return None


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_EXPRESSION and pattern.fullmatch(text) is not None


def _is_plain_tree(spec: Mapping[str, Any]) -> bool:
    """Whether the structure of inputs or outputs consists of tuples, lists, and dicts with texts as keys."""
    context = json.loads(spec["context"]) if spec["context"] else None
    plain = context is None or (isinstance(context, list) and all(isinstance(each, str) for each in context))
    return spec["type"] in TREE_TYPES and plain and all(map(_is_plain_tree, spec["children_spec"]))
