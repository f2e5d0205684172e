"""Whether what a configuration names may be built: every `_target_` in it is checked before anything is built.

A configuration is data, and may come from anywhere: a run folder received from somebody is as much a configuration as
conf/. What conf/ itself names at the same key is this project's own; any other target is looked up in
`entry.config.allowlist`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from entry.errors import RequestError
from entry.request import PROJECT
from settings.run import RunSettings

CONF = PROJECT / "conf"
TARGET = "_target_"


def check_targets(settings: RunSettings, allow: Sequence[str]) -> None:
    """Check everything that settings want built, at any depth; builds nothing, and imports nothing for what conf/ names.

    The key under which a target stands decides which kinds it may be, also for the targets inside it; what the packages in
    `allow` define may be built wherever it is of a fitting kind. A text that still holds ``${`` is refused wherever it
    stands: Hydra resolves it a second time when it builds, and could find a `_target_` in it that was not checked.
    Raises RequestError naming the target, its key and what is allowed, or the text.
    """
    if allow:
        from entry.config.allowlist import import_allowed

        for package in allow:
            import_allowed(package)
    for place, key, value in _leaves(settings.to_dict(), ""):
        if "${" in key or (isinstance(value, str) and "${" in value):
            raise RequestError(f"{place}={value}: ${{ }} cannot stand in a configuration that is resolved already.")
        if key == TARGET and (place, value) not in shipped():
            from entry.config.allowlist import check_target

            check_target(place, value, allow)


@cache
def shipped() -> tuple[tuple[str, object], ...]:
    """Each target in conf/ with the dotted key that it stands at in a configuration."""
    found: list[tuple[str, object]] = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C: ten times as fast
    for path in (CONF / "train.yaml", *sorted(CONF.glob("*/*.yaml"))):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  both are safe
        for place, key, value in _leaves(content, "" if path.parent == CONF else path.parent.name):
            group = place.removesuffix(f".targets.{key}")  # one of its targets becomes the group's own
            if group != place or key == TARGET:
                found.append((place if group == place else f"{group}.{TARGET}", value))
    return tuple(found)


def _leaves(node: object, place: str) -> Iterator[tuple[str, str, object]]:
    """(dotted key, its last part, value) of everything below a node; a `_target_` is given whatever its value is."""
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        pairs = list(node.items())
    elif isinstance(node, list | tuple):
        pairs = list(enumerate(node))
    for key, value in pairs:
        inner = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping | list | tuple) and key != TARGET:
            yield inner, str(key), None
            yield from _leaves(value, inner)
        else:
            yield inner, str(key), value
