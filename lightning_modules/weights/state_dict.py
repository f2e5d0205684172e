"""Loading a state dict into a network: which one, key prefixes, heads for another number of classes, and what does not fit."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.errors import WeightsError

State = Mapping[str, Tensor]
MOST_LISTED = 5  # of each cause, so that no cause pushes another out of the message


@dataclass(frozen=True)
class Heads:
    """How to treat the heads: the layers that have a row per class in all their tensors."""

    num_classes: int  # of the network
    # Of the state dict, whose heads then start fresh. None: only heads for another number of classes do.
    published: int | None = None
    required: bool = False  # whether heads must be loaded, apart from auxiliary ones


def choose_state(states: Mapping[str, State], network: nn.Module, key: str | None, origin: str) -> tuple[str, State]:
    """Return the state dict that belongs to a network, and its key in the checkpoint.

    `states` are those in the checkpoint by their dotted keys, empty for the file itself; `key` is `model.weights_key`: one of
    them, or the first part of the names in one, such as ``teacher``. Raises WeightsError where there is no such key, or
    several of them fit: these are named with what to type.
    """
    expected = network.state_dict()
    if key is not None:
        having = [name for name in states if name] or list(dict.fromkeys(name.split(".")[0] for name in states[""]))
        states = _under(states, key)
        if not states:
            raise WeightsError(f"model.weights_key={key}: {origin} has no such key, but {_listed(having)}.")
    fitting = {name: max(_alignments(state, expected).values(), default=(0, 0)) for name, state in states.items()}
    best = max(fitting, key=lambda name: (fitting[name], len(states[name])))
    rivals = [name for name, count in fitting.items() if count[0] and 2 * count[0] >= fitting[best][0]]
    if len(rivals) > 1:
        raise WeightsError(_question(origin, rivals))
    state = states[best]
    odd = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise WeightsError(f"model.weights={origin} is not a plain state dict: {_listed(odd)} is not a tensor")
    return best, state


def load_network(network: nn.Module, state: State, heads: Heads, origin: str, *, partial: bool = False) -> list[str]:
    """Load a state dict into a network, and return notes for the user.

    Keys may have a prefix before the network's own names, as wrappers add (``module.``, ``net.``, ``_orig_mod.``), or lack
    the first part of these (``backbone.``). Layers of auxiliary heads may be missing from either. With `partial` all that
    fits is loaded, and the rest noted. Raises WeightsError with the reasons if the state dict, which messages call `origin`,
    does not fit; the network is then left exactly as it was.
    """
    expected = network.state_dict()
    prefix, lacking = _alignment(state, expected, origin)
    outside = [key for key in state if not key.startswith(prefix)]
    notes = [f"left out what is not under {prefix}: {_listed(outside)}"] if outside else []
    found = len(state)
    # DenseNet's published weights still have the names of torch 0.4, which torchvision's own builder replaces as well.
    state = {
        lacking + re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1", key.removeprefix(prefix)): tensor
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
    problems = _mismatches(given, wanted)
    example = next(iter(given), "none")
    given = {name: each for name, each in given.items() if name in wanted and each.shape == wanted[name].shape}
    headless = heads.required and any(name not in given for name in wanted if _belongs(name, layers))
    if problems and (headless or not (partial and given)):
        hint = "with model.partial=true what fits is loaded" if given and not headless else ""
        if not given:
            hint = f"its names are such as {example}, the network's such as {next(iter(wanted))}: choose the model= that it was trained with"
        counts = f"{len(given)} of the network's {len(wanted)} tensors fit, the file has {found}"
        why = f"{problems}. {'; '.join(filter(None, (counts, hint)))}"
        raise WeightsError(f"model.weights={origin} does not fit the network: {why}")
    network.load_state_dict(given, strict=False)
    return [*notes, f"what did not fit and is left as it was: {problems}"] if problems else notes


def load_backbone(backbone: nn.Module, state: State, origin: str) -> None:
    """Load a classifier's weights into a backbone, without the classifier's own layers. Raises WeightsError."""
    wanted = backbone.state_dict()
    given = {name.removeprefix("features."): tensor for name, tensor in state.items()}  # MobileNet's prefix
    given = {name: tensor for name, tensor in given.items() if name in wanted}
    if problems := _mismatches(given, wanted):
        raise WeightsError(f"model.weights={origin} does not fit the backbone: {problems}")
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


def _mismatches(given: State, wanted: State) -> str:
    """What does not fit, by cause; empty where all does."""
    # BatchNorm's counter is not in checkpoints from before torch 0.4.1; torch itself fills it in.
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    other = [name for name, tensor in wanted.items() if name in given and given[name].shape != tensor.shape]
    shapes = [f"{name} is {_shape(given[name])}, the network's is {_shape(wanted[name])}" for name in other]
    causes = {"missing ": missing, "unexpected ": [name for name in given if name not in wanted], "": shapes}
    return "; ".join(f"{cause}{_listed(names)}" for cause, names in causes.items() if names)


Alignments = dict[tuple[str, str], tuple[int, int]]


def _alignments(state: State, expected: State) -> Alignments:
    """How many tensors fit by shape and name, and by name alone, for each pair of prefixes: of the state dict, and of the network."""
    tops = ("", *dict.fromkeys(f"{name.split('.')[0]}." for name in expected if "." in name))
    names: Counter[tuple[str, str]] = Counter()
    equal: Counter[tuple[str, str]] = Counter()
    for key, tensor in state.items():
        starts = (0, *(found.end() for found in re.finditer(r"\.", key)))
        for start, top in ((start, top) for start in starts for top in tops):
            other = expected.get(top + key[start:])
            if other is not None:
                names[key[:start], top] += 1
                equal[key[:start], top] += isinstance(tensor, Tensor) and tensor.shape == other.shape
    return {pair: (equal[pair], names[pair]) for pair in names}


def _alignment(state: State, expected: State, origin: str) -> tuple[str, str]:
    """The prefix that most names of a state dict have before the network's, and the one they lack. Raises WeightsError for several."""
    counts = _alignments(state, expected)
    order = sorted(counts, key=lambda pair: (*(-count for count in counts[pair]), len(pair[1]), len(pair[0])))
    if not order:
        return "", ""
    first = order[0]
    rivals = [pair[0] for pair in order if counts[pair] == counts[first] and pair[1] == first[1]]
    if len(rivals) > 1 and 2 * counts[first][0] >= len(expected):
        raise WeightsError(_question(origin, [prefix.rstrip(".") for prefix in rivals]))
    return first


def _question(origin: str, keys: Sequence[str]) -> str:
    """What is written where several state dicts of a checkpoint fit."""
    return (
        f"model.weights={origin} holds weights for this network several times, under {', '.join(keys)}. "
        f"Add the one that is meant: {' or '.join(f'model.weights_key={key}' for key in keys)}"
    )


def _under(states: Mapping[str, State], key: str) -> dict[str, State]:
    """The state dict at a key; or the tensors of each whose names begin with it, without it."""
    if key in states:
        return {key: states[key]}
    parts: dict[str, State] = {}
    for place, state in states.items():
        inner = key.removeprefix(f"{place}.")
        if part := {name: tensor for name, tensor in state.items() if name.startswith(f"{inner}.")}:
            parts[f"{place}.{inner}".lstrip(".")] = part
    return parts


def _is_auxiliary(name: str) -> bool:
    """Return whether a layer or tensor lies in an auxiliary head, as torchvision names it: aux1, AuxLogits, aux_classifier."""
    return name.lower().startswith("aux")


def _belongs(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(items[:MOST_LISTED]) + more
