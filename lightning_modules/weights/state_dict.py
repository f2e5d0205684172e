"""Loading a state dict into a network: key prefixes, heads for another number of classes, and what does not fit."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.errors import WeightsError

State = Mapping[str, Tensor]
# Prepended by wrappers: DataParallel and DDP, Lightning modules, torch.compile, self-supervised training.
PREFIXES = ("module.", "model.", "network.", "_orig_mod.", "backbone.")
MOST_LISTED = 20


@dataclass(frozen=True)
class Heads:
    """How to treat the heads: the layers that have a row per class in all their tensors."""

    num_classes: int  # of the network
    # Of the state dict, whose heads then start fresh. None: only heads for another number of classes do.
    published: int | None = None
    required: bool = False  # whether heads must be loaded, apart from auxiliary ones


def load_network(network: nn.Module, state: State, heads: Heads, origin: str, *, partial: bool = False) -> list[str]:
    """Load a state dict into a network, and return notes for the user.

    Keys may have a prefix before the network's own names. Layers of auxiliary heads may be missing from either. With
    `partial` all that fits is loaded, and the rest noted. Raises WeightsError with the reasons if the state dict, which
    messages call `origin`, does not fit; the network is then left exactly as it was.
    """
    expected = network.state_dict()
    prefix = _prefix(state, expected)
    outside = [key for key in state if not key.startswith(prefix)]
    notes = [f"left out what is not under {prefix}: {_listed(outside)}"] if outside else []
    # DenseNet's published weights still have the names of torch 0.4, which torchvision's own builder replaces as well.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", key.removeprefix(prefix)): tensor
        for key, tensor in state.items()
        if key.startswith(prefix)
    }
    layers = [layer for layer, tensors in _by_layer(expected).items() if _rows(tensors) == {heads.num_classes}]
    fresh = [layer for layer in layers if _starts_fresh(layer, state, expected, heads)]
    resized = [layer for layer in fresh if not _is_auxiliary(layer)]
    if resized and heads.required:
        rows = next(len(tensor) for name, tensor in state.items() if _belongs(name, resized))
        raise WeightsError(
            f"model.weights={origin}: its head ({resized[0]}) predicts {rows} classes, and "
            f"model.label_space has {heads.num_classes}; name the classes that these weights predict, in their order"
        )
    if fresh and heads.published is None:
        notes.append(f"the head ({', '.join(fresh)}) is for another number of classes and starts fresh")
    ours, theirs = ({name.split(".")[0] for name in names if _is_auxiliary(name)} for names in (expected, state))
    absent, surplus = sorted(ours - theirs), sorted(theirs - ours)
    if absent:
        notes.append(f"{', '.join(absent)}, which only training uses, is not in it and starts fresh")
    if surplus:
        notes.append(f"left out {', '.join(surplus)}, which only training uses and the network lacks")
    fresh += [*absent, *surplus]
    wanted = {name: tensor for name, tensor in expected.items() if not _belongs(name, fresh)}
    given = {name: tensor for name, tensor in state.items() if not _belongs(name, fresh)}
    problems = list(_mismatches(given, wanted))
    given = {name: each for name, each in given.items() if name in wanted and each.shape == wanted[name].shape}
    headless = heads.required and any(name not in given for name in wanted if _belongs(name, layers))
    if problems and (headless or not (partial and given)):
        hint = "; with model.partial=true what fits is loaded" if given and not headless else ""
        raise WeightsError(f"model.weights={origin} does not fit the network: {_listed(problems)}{hint}")
    network.load_state_dict(given, strict=False)
    return [*notes, f"what did not fit and is left as it was: {_listed(problems)}"] if problems else notes


def load_backbone(backbone: nn.Module, state: State, origin: str) -> None:
    """Load a classifier's weights into a backbone, without the classifier's own layers. Raises WeightsError."""
    wanted = backbone.state_dict()
    given = {name.removeprefix("features."): tensor for name, tensor in state.items()}  # MobileNet's prefix
    given = {name: tensor for name, tensor in given.items() if name in wanted}
    problems = list(_mismatches(given, wanted))
    if problems:
        raise WeightsError(f"model.weights={origin} does not fit the backbone: {_listed(problems)}")
    backbone.load_state_dict(given, strict=False)


def _starts_fresh(layer: str, state: State, expected: State, heads: Heads) -> bool:
    """Return whether a head's counterpart in a state dict differs from it in the number of rows only, or is not wanted."""
    own = _by_layer(expected)[layer]
    other = [state[name] for name in expected if name.rpartition(".")[0] == layer and name in state]
    if len(other) < len(own) or any(a.shape[1:] != b.shape[1:] for a, b in zip(own, other, strict=True)):
        return False
    rows = _rows(other)
    return len(rows) == 1 and (rows != _rows(own) if heads.published is None else rows == {heads.published})


def _by_layer(state: State) -> dict[str, list[Tensor]]:
    layers: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():
        layers.setdefault(name.rpartition(".")[0], []).append(tensor)
    return layers


def _rows(tensors: Iterable[Tensor]) -> set[int | None]:
    """Return the different sizes of dimension 0; None for a single number, such as BatchNorm's counter."""
    return {tensor.shape[0] if tensor.dim() else None for tensor in tensors}


def _mismatches(given: State, wanted: State) -> Iterator[str]:
    for name, tensor in wanted.items():
        # BatchNorm's counter is not in checkpoints from before torch 0.4.1; torch itself fills it in.
        if name not in given and not name.endswith("num_batches_tracked"):
            yield f"missing {name}"
        elif name in given and given[name].shape != tensor.shape:
            yield f"{name} is {_shape(given[name])}, the network's is {_shape(tensor)}"
    yield from (f"unexpected {name}" for name in given if name not in wanted)


def _prefix(state: Iterable[str], expected: State) -> str:
    """Return the combination of known prefixes that most keys have before the network's own names."""
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


def _is_auxiliary(name: str) -> bool:
    """Return whether a layer or tensor lies in an auxiliary head, as torchvision names it: aux1, AuxLogits, aux_classifier."""
    return name.lower().startswith("aux")


def _belongs(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _listed(items: list[str]) -> str:
    more = f", and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(items[:MOST_LISTED]) + more
