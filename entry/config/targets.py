"""Whether what a configuration names may be built: every `_target_` in it is checked before anything is built.

A configuration is data, and may come from anywhere: a run folder received from somebody is as much a configuration as
conf/. What conf/ itself names at the same key is this project's own; any other target is looked up in
`entry.config.allowlist`.
"""

from collections.abc import Sequence
from functools import cache

import yaml

from entry.errors import RequestError
from entry.request import CONF
from settings.base import entries
from settings.run import RunSettings

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
    for place, key, value in entries(settings.to_dict()):
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
        for place, key, value in entries(content, "" if path.parent == CONF else path.parent.name):
            group = place.removesuffix(f".targets.{key}")  # one of its targets becomes the group's own
            if group != place or key == TARGET:
                found.append((place if group == place else f"{group}.{TARGET}", value))
    return tuple(found)
