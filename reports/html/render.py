"""From a template to a page that is one file: no network, and nothing that stands in it is executed but its own script."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures.style import compact, short_names

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
UNDEFINED = "–"


def render(template: str, **context: Any) -> str:
    """Return a page: a template with its context, the style and the script in it, and a policy that forbids all else.

    Every text is escaped: a class called ``<script>`` is shown.
    """
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        _environment()
        .get_template(template)
        .render(style=style, script=script, policy=_policy(style, script), **context)
    )


@cache
def _environment() -> "Environment":
    """Return the templates, each compiled once in a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style, this script and pictures in the page itself."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def score(value: float | None) -> str:
    """Return a score with three decimals, or a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Return a difference of scores with its sign, or a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:+.3f}"


def chance(p: float | None) -> str:
    """Return a p-value, or a dash where there is none."""
    return UNDEFINED if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def percent(share: float | None) -> str:
    """Return a share in whole percent; one that is not 0 or 1 is never shown as such."""
    if share is None:
        return UNDEFINED
    if 0 < share < 0.01:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def whole(number: float | None) -> str:
    """Return a count with separators between thousands."""
    return UNDEFINED if number is None else f"{number:,.0f}"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: ``3 h 12 min``, ``2 min 5 s``, ``0.8 s``."""
    if seconds is None:
        return UNDEFINED
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(pixels: tuple[int, int]) -> str:
    """Return a (height, width) as width × height."""
    return f"{pixels[1]} × {pixels[0]}"


def short(name: str) -> str:
    """Return a name without its middle where it is long."""
    return short_names([name])[0]


FILTERS: dict[str, Callable[..., str]] = {
    "score": score,
    "signed": signed,
    "chance": chance,
    "percent": percent,
    "whole": whole,
    "compact": compact,
    "duration": duration,
    "size": size,
    "short": short,
}
