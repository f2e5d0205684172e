"""What a file that is no readable checkpoint is instead, found from its bytes: nothing in it is unpickled or executed."""

import io
import pickletools
import shlex
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HEAD = 512  # bytes that tell most formats; a tar archive has its name at 257
MOST_NAMED = 5
# (where, these bytes, what such a file is, what to do about it).
SIGNATURES = (
    (0, b"version https://git-lfs", "a git-LFS pointer, the place of a file and not the file itself", "Fetch it: git lfs pull"),
    (0, b"\x89HDF\r\n", "an HDF5 file, as Keras and MATLAB write", "Convert it to a PyTorch state dict in the tool that wrote it"),
    (0, b"\x93NUMPY", "a single numpy array (.npy), which has no names", "Save the arrays by name: numpy.savez('weights.npz', **arrays)"),
    (0, b"\x1f\x8b", "compressed (gzip)", "Unpack it first: gunzip FILE, or tar xzf FILE"),
    (0, b"BZh", "compressed (bzip2)", "Unpack it first: bunzip2 FILE, or tar xjf FILE"),
    (0, b"\xfd7zXZ", "compressed (xz)", "Unpack it first: unxz FILE, or tar xJf FILE"),
    (0, b"\x28\xb5\x2f\xfd", "compressed (zstd)", "Unpack it first: unzstd FILE"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it first, and give the file in it"),
    (0, b"Rar!", "a RAR archive", "Unpack it first, and give the file in it"),
    (0, b"%PDF", "a PDF", "Give the checkpoint itself"),
    (4, b"TFL3", "a TensorFlow Lite model", "Convert it to a PyTorch state dict in the tool that wrote it"),
    (0, b"GGUF", "a GGUF file of a language model", "Give a PyTorch state dict"),
)  # fmt: skip
PICKLES_OF_OLD_TORCH = (
    3  # before the one with the content, in files from before torch 1.6: magic number, version, sizes
)
MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # of those files
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "ema", "params")


@dataclass(frozen=True)
class Pickled:
    """What a pickle would build, read from its opcodes without building it.

    Args:
        by_torch: whether torch.save wrote it.
        is_object: whether it is an object of a class itself, and no dict with something in it.
        names: dotted names of the classes and functions it calls for, in their order.
        texts: the short texts in it, the keys of its dicts among them.
    """

    by_torch: bool
    is_object: bool
    names: Sequence[str]
    texts: Sequence[str]


def describe(path: Path) -> tuple[str, str]:
    """What a file is, after "it is", and what to do about it; two empty texts where its bytes tell nothing."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "empty", "Copy or download it again"
    for start, signature, what, advice in SIGNATURES:
        if head.startswith(signature, start):
            return what, advice.replace("FILE", shlex.quote(path.name))
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        return _zip(path)
    if head[257:262] == b"ustar":
        with tarfile.open(path) as archive:
            return _archive("tar", archive.getnames(), f"tar xf {shlex.quote(path.name)}")
    if path.suffix.lower() == ".onnx" or (head[0] == 8 and b"pytorch" in head[:32]):
        return "an ONNX model", "Give the PyTorch weights that it was exported from"
    return _text(head)


def needs_code(path: Path) -> tuple[str, str] | None:
    """What a pickled file holds beside tensors, after its name, and the command that saves its weights alone.

    None for a pickle of tensors. Raises what reading a damaged file may raise.
    """
    found = _pickled(path)
    classes = [name for name in dict.fromkeys(found.names) if not _is_plain(name)]
    if not classes:
        return None
    key = next((key for key in STATE_KEYS if key in found.texts), None)
    has_model = any(name.startswith("torch.nn.modules.") for name in classes) and key not in STATE_KEYS[:3]
    place = "" if found.is_object or key is None else f"[{key!r}]"
    modules = "torch" if found.by_torch else "pickle, torch"
    if not found.by_torch:
        what = "is a plain pickle, not written by torch.save"
        weights = (
            f"{{name: torch.as_tensor(each) for name, each in pickle.load(open({str(path)!r}, 'rb')){place}.items()}}"
        )
    else:
        what = (
            "is a whole pickled model"
            if found.is_object
            else "holds a pickled model"
            if has_model
            else "holds more than tensors"
        )
        method = ".state_dict()" if found.is_object or has_model else ""
        weights = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False){place}{method}"
    return f"{what} ({', '.join(classes[:MOST_NAMED])})", _command(modules, weights, path)


def _is_plain(name: str) -> bool:
    """Whether what a pickle names is needed for tensors and their names alone."""
    is_storage = name.startswith("torch.") and name.endswith(("Storage", "Size"))
    return is_storage or name.startswith(("collections.", "torch._utils.", "torch.storage.", "__builtin__."))


def _command(modules: str, weights: str, path: Path) -> str:
    return f"""python -c "import {modules}; torch.save({weights}, {f"{path.stem}_weights.pt"!r})\""""


def _zip(path: Path) -> tuple[str, str]:
    names = zipfile.ZipFile(path).namelist()
    if any(name.endswith("constants.pkl") for name in names):
        command = _command("torch", f"torch.jit.load({str(path)!r}).state_dict()", path)
        return (
            "a TorchScript archive, a program with its weights, which would have to be run to be read",
            f"Where you trust it, save its weights alone: {command}",
        )
    if any(name.endswith("data.pkl") for name in names):
        return "", ""  # of torch.save, and damaged
    if all(name.endswith(".npy") for name in names):
        return "an npz archive with arrays that are no plain numbers", "Save arrays of numbers"
    if any(name.endswith(".weights.h5") for name in names):
        return "a Keras model", "Convert it to a PyTorch state dict in the tool that wrote it"
    return _archive("zip", names, f"unzip {shlex.quote(path.name)}")


def _archive(kind: str, names: list[str], command: str) -> tuple[str, str]:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"a {kind} archive of {', '.join(names[:MOST_NAMED])}{more}", f"Unpack it and give the file in it: {command}"


def _text(head: bytes) -> tuple[str, str]:
    try:
        text = head.decode("utf-8").lstrip()
    except UnicodeDecodeError:
        return "", ""
    if any(not (sign.isprintable() or sign.isspace()) for sign in text):
        return "", ""
    if text[:15].lower().startswith(("<!doctype html", "<html", "<head", "<?xml")):
        return (
            "an HTML page and no checkpoint, such as a page that asks to log in or to confirm",
            "Download the file itself",
        )
    first = text.splitlines()[0][:60]
    return f"a text that begins with {first!r}", "Give the file with the weights"


def _pickled(path: Path) -> Pickled:
    """What the pickle in a file of ``torch.save``, or a plain pickle, would build."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content = archive.read(next((name for name in archive.namelist() if name.endswith("data.pkl")), ""))
        return _inspected(content, by_torch=True)
    content = path.read_bytes()
    if MAGIC not in content[:HEAD]:
        return _inspected(content, by_torch=False)
    file = io.BytesIO(content)
    for _ in range(PICKLES_OF_OLD_TORCH):
        for _ in pickletools.genops(file):
            pass
    return _inspected(file.read(), by_torch=True)


def _inspected(content: bytes, *, by_torch: bool) -> Pickled:
    operations = [(code.name, argument) for code, argument, _ in pickletools.genops(content)]
    texts = [str(argument) for code, argument in operations if "UNICODE" in code]
    first, argument = next((each for each in operations if each[0] not in ("PROTO", "FRAME")), ("", None))
    names = list(_names(operations))
    is_object = first in ("GLOBAL", "SHORT_BINUNICODE") and not str(argument).startswith("collections")
    return Pickled(by_torch, is_object, names, texts)


def _names(operations: Sequence[tuple[str, object]]) -> Iterator[str]:
    recent: list[str] = []
    for code, argument in operations:
        if "UNICODE" in code:
            recent.append(str(argument))
        elif code == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif code == "STACK_GLOBAL":
            yield ".".join(recent[-2:])
