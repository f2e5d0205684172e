"""Which weights a network starts from: ``model.weights`` = auto | none | imagenet | coco_voc | a file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights.download import NotReachableError, cached_path, fetch
from lightning_modules.weights.pretrained import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, Architecture
from lightning_modules.weights.safe_load import read_state_dict

# What wrappers put before a network's own names: DataParallel and DDP, Lightning modules, torch.compile, self-supervised training.
PREFIXES = ("module.", "model.", "network.", "_orig_mod.", "backbone.")
MOST_LISTED = 20
NAMES = {"imagenet": "ImageNet", "coco_voc": "COCO/VOC"}
SPEAKS = {"coco_voc": "voc21"}  # the label space of published weights whose own heads say classes


@dataclass(frozen=True)
class WeightsReport:
    """Where a network's weights come from.

    Args:
        requested: ``model.weights`` as it was asked for.
        used: ``none``, ``imagenet``, ``coco_voc`` or the path of the file that was read.
        note: one line for the user; empty where there is nothing to say.
        file: the name of the file that was read; None without one.
    """

    requested: str
    used: str
    note: str = ""
    file: str | None = None


def load_weights(
    network: nn.Module,
    model: str,
    requested: str,
    *,
    whole: bool = False,
    partial: bool = False,
) -> WeightsReport:
    """Give a fresh network the weights that were asked for.

    Args:
        network: changed in place, or left exactly as it was where an error is raised.
        model: the network's name, a key of ``ARCHITECTURES`` or another.
        requested: ``auto`` (ImageNet where it can be had, else from scratch), ``none``, ``imagenet`` (the backbone's, where
            the network has one), ``coco_voc``, or the path of a checkpoint.
        whole: the heads too, for a network of the weights' own classes: what says them may not start fresh.
        partial: load what else fits, and say what does not.

    Raises:
        WeightsError: the weights cannot be had, cannot be read, or do not fit.
    """
    architecture = ARCHITECTURES.get(
        model, Architecture(heads=())
    )  # a network of somebody's own: nothing is known of it
    if requested == "none":
        return WeightsReport(requested, "none")
    published = "imagenet" if requested == "auto" else requested
    if published not in ("imagenet", "coco_voc"):
        state = read_state_dict(Path(requested).expanduser())
        heads = _Heads(architecture.heads, architecture.auxiliary, "all" if whole else "fitting")
        notes = _fit(network, state, heads, requested, partial=partial)
        return WeightsReport(
            requested, requested, "; ".join([f"{model} starts from {requested}", *notes]), Path(requested).name
        )
    address = getattr(architecture, published)
    if address is None:
        if requested == "auto":
            return WeightsReport(requested, "none")
        having = ", ".join(name for name, known in ARCHITECTURES.items() if getattr(known, published))
        raise WeightsError(
            f"model.weights={published}: there are no {NAMES[published]} weights for {model}, only for {having or 'none'}; use model.weights=none"
        )
    try:
        file = fetch(address)
    except NotReachableError as error:
        file = cached_path(address)
        if requested != "auto":
            otherwise = "" if whole else ", or use model.weights=none"
            raise WeightsError(
                f"model.weights={published}: {error}. Download it where there is a connection and put it at {file}{otherwise}"
            ) from error
        return WeightsReport(
            requested, "none", f"{model} trains from scratch: no {NAMES[published]} weights at {file}, and {error}"
        )
    state = read_state_dict(file)
    if published == "imagenet" and architecture.backbone:
        _fit_backbone(network.get_submodule(architecture.backbone), state, architecture.backbone_prefix, str(file))
        what = f"a backbone with {NAMES[published]} weights ({file.name}) and fresh heads"
    else:
        _fit(network, state, _Heads(architecture.heads, (), "all" if whole else "none"), str(file))
        what = f"{NAMES[published]} weights ({file.name}){'' if whole else ' with a fresh head'}"
    return WeightsReport(requested, published, f"{model} starts from {what}", file.name)


def normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue, in 0–1, that a network wants: given, or None for ImageNet's.

    Raises:
        WeightsError: they are not three numbers each, or a deviation is not above 0.
    """
    found = []
    for key, given, usual in (("mean", mean, IMAGENET_MEAN), ("std", std, IMAGENET_STD)):
        values = usual if given is None else given if isinstance(given, list | tuple) else ()
        if len(values) != 3 or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
            raise WeightsError(f"model.{key}={given}: must be three numbers in 0–1, for red, green and blue")
        found.append(tuple(float(value) for value in values))
    if min(found[1]) == 0:
        raise WeightsError(f"model.std={std}: must be above 0")
    return found[0], found[1]


def _fit_backbone(backbone: nn.Module, state: Mapping[str, Tensor], prefix: str, origin: str) -> None:
    """Load what a classifier's weights have for a backbone; the classifier's own layers are left out."""
    wanted = backbone.state_dict()
    given = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    given = {name: tensor for name, tensor in given.items() if name in wanted}
    problems = list(_mismatches(given, wanted))
    if problems:
        raise WeightsError(f"model.weights={origin} does not fit the backbone: {_listed(problems)}")
    backbone.load_state_dict(given, strict=False)


@dataclass(frozen=True)
class _Heads:
    """What is done with the layers whose size follows from the number of classes.

    Args:
        names: the layers.
        auxiliary: those that only training uses; where a file has nothing of them they are left fresh.
        kept: ``all``: none may be missing or, auxiliary ones apart, of another number of classes, ``fitting``: the latter
            are left fresh, ``none``: all are.
    """

    names: tuple[str, ...]
    auxiliary: tuple[str, ...]
    kept: str


def _fit(
    network: nn.Module, state: Mapping[str, Tensor], heads: _Heads, origin: str, *, partial: bool = False
) -> list[str]:
    """Load a state dict into a network. Returns what the user should know. Raises WeightsError."""
    expected = network.state_dict()
    prefix = _prefix(state, expected)
    state, outside = _strip(state, prefix)
    notes = [f"left out what is not under {prefix}: {_listed(outside)}"] if outside else []
    fresh = [head for head in heads.names if heads.kept == "none" or _differs(head, state, expected)]
    speaking = [head for head in fresh if not _belongs(f"{head}.", heads.auxiliary)]
    if speaking and heads.kept == "all":
        sizes = [f"{len(tensors[f'{speaking[0]}.weight'])}" for tensors in (state, expected)]
        raise WeightsError(
            f"model.weights={origin}: its head ({speaking[0]}) says {sizes[0]} classes, and model.label_space has {sizes[1]}; "
            "name the classes that these weights say, in their order"
        )
    if fresh and heads.kept != "none":
        notes.append(f"the head ({', '.join(fresh)}) is for another number of classes and starts fresh")
    absent = [layer for layer in heads.auxiliary if not any(_belongs(name, [layer]) for name in state)]
    if absent:
        notes.append(f"{', '.join(absent)}, which only training uses, is not in it and starts fresh")
    fresh += absent
    wanted = {name: tensor for name, tensor in expected.items() if not _belongs(name, fresh)}
    given = {name: tensor for name, tensor in state.items() if not _belongs(name, fresh)}
    problems = list(_mismatches(given, wanted))
    given = {name: tensor for name, tensor in given.items() if _fits(name, tensor, wanted)}
    speechless = heads.kept == "all" and any(name not in given for name in wanted if _belongs(name, heads.names))
    if problems and (speechless or not (partial and given)):
        hint = "; with model.partial=true what fits is loaded" if given and not speechless else ""
        raise WeightsError(f"model.weights={origin} does not fit the network: {_listed(problems)}{hint}")
    network.load_state_dict(given, strict=False)
    return [*notes, f"what did not fit and is left as it was: {_listed(problems)}"] if problems else notes


def _mismatches(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in wanted.items():
        # BatchNorm's counter is not in checkpoints from before torch 0.4.1; torch itself fills it in.
        if name not in given and not name.endswith("num_batches_tracked"):
            yield f"missing {name}"
        elif name in given and given[name].shape != tensor.shape:
            yield f"{name} is {_shape(given[name])}, the network's is {_shape(tensor)}"
    yield from (f"unexpected {name}" for name in given if name not in wanted)


def _fits(name: str, tensor: Tensor, wanted: Mapping[str, Tensor]) -> bool:
    return name in wanted and tensor.shape == wanted[name].shape


def _prefix(state: Iterable[str], expected: Mapping[str, Tensor]) -> str:
    """What stands before the network's own names in most keys of a state dict, built from the known prefixes."""
    found: Counter[str] = Counter()
    for key in state:
        name = key
        while True:
            found[key[: len(key) - len(name)]] += name in expected
            step = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
            if step is None:
                break
            name = name.removeprefix(step)
    return min(found, key=lambda prefix: (-found[prefix], len(prefix)), default="")


def _strip(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under a prefix by the network's names, and the names of those outside it."""
    inside = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    return inside, [key for key in state if not key.startswith(prefix)]


def _belongs(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _differs(head: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether a head is there but sized for another number of classes (its inputs must be the same)."""
    names = [name for name in expected if _belongs(name, [head])]
    if any(name not in state or state[name].dim() == 0 for name in names):
        return False
    return any(state[name].shape[0] != expected[name].shape[0] for name in names) and all(
        state[name].shape[1:] == expected[name].shape[1:] for name in names
    )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _listed(items: list[str]) -> str:
    more = f", and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(items[:MOST_LISTED]) + more
