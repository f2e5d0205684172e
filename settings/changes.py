"""What differs between the settings of two runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from settings.run import RunSettings


def changes(before: RunSettings, after: RunSettings) -> dict[str, Any]:
    """Return the dotted keys whose values differ, with the values of `after`; None where it lacks the key."""
    old, new = flat(before), flat(after)
    return {key: new.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}


def flat(settings: RunSettings) -> dict[str, Any]:
    """Return the values of settings by their dotted keys."""
    return dict(_flat(settings.model_dump(mode="json", by_alias=True)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
