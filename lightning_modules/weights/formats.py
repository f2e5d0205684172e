"""What a file that is no readable checkpoint is instead, found from its bytes: nothing in it is unpickled or executed."""

import io
import itertools
import pickletools
import shlex
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

HEAD = 512  # bytes that tell most formats; a tar archive has its name at 257
MOST_NAMED = 5
MOST_OPERATIONS = 1_000_000  # of a pickle, of which each takes a hundred bytes of memory
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
PICKLES_OF_OLD_TORCH = 3  # before torch 1.6 the content's follows a magic number, a version and sizes
MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # of those files
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "ema", "params")


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
        return "an ONNX model", "Give it the ending .onnx, or the PyTorch weights that it was exported from"
    return _text(head)


def needs_code(path: Path) -> tuple[str, str] | None:
    """What a pickled file holds beside tensors, after its name, and the command that saves its weights alone.

    None for a pickle of tensors. Raises what reading a damaged file may raise.
    """
    content, by_torch = _pickle(path)
    read = itertools.islice(pickletools.genops(content), MOST_OPERATIONS)
    operations = [(code.name, argument) for code, argument, _ in read]
    classes = [name for name in dict.fromkeys(_names(operations)) if not _is_plain(name)]
    if not classes:
        return None
    first, argument = next((each for each in operations if each[0] not in ("PROTO", "FRAME")), ("", None))
    # The file is an object of a class itself, and no dict with something in it.
    is_object = first in ("GLOBAL", "SHORT_BINUNICODE") and not str(argument).startswith("collections")
    texts = {argument for code, argument in operations if "UNICODE" in code}  # the keys of dicts among them
    key = None if is_object else next((key for key in STATE_KEYS if key in texts), None)
    place = "" if key is None else f"[{key!r}]"
    named = f"({', '.join(classes[:MOST_NAMED])})"
    if not by_torch:
        items = f"pickle.load(open({str(path)!r}, 'rb')){place}.items()"
        weights = f"{{name: torch.as_tensor(each) for name, each in {items}}}"
        return f"is a plain pickle, not written by torch.save {named}", _command("pickle, torch", weights, path)
    has_model = any(name.startswith("torch.nn.modules.") for name in classes) and key not in STATE_KEYS[:3]
    what = "is a whole" if is_object else "holds a"
    method = ".state_dict()" if is_object or has_model else ""
    weights = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False){place}{method}"
    found = f"{what} pickled model" if method else "holds more than tensors"
    return f"{found} {named}", _command("torch", weights, path)


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


def _pickle(path: Path) -> tuple[bytes, bool]:
    """The pickle of a file's content, and whether torch.save wrote it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.read(next((name for name in archive.namelist() if name.endswith("data.pkl")), "")), True
    content = path.read_bytes()
    if MAGIC not in content[:HEAD]:
        return content, False
    file = io.BytesIO(content)
    for _ in range(PICKLES_OF_OLD_TORCH):
        for _ in pickletools.genops(file):
            pass
    return file.read(), True


def _names(operations: Sequence[tuple[str, object]]) -> Iterator[str]:
    recent: list[str] = []
    for code, argument in operations:
        if "UNICODE" in code:
            recent.append(str(argument))
        elif code == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif code == "STACK_GLOBAL":
            yield ".".join(recent[-2:])
