"""The model card of an export, in Markdown, from its manifest alone."""

from collections.abc import Mapping
from typing import Any

from reports.formatting import with_interval
from reports.html.render import TEMPLATES, score
from streams import printable

HEADLINES = {"classification": ("accuracy", "f1_macro", "f1_weighted"), "segmentation": ("miou", "fwiou", "accuracy")}
OF_CLASS = {"classification": "f1", "segmentation": "iou"}


def model_card(manifest: Mapping[str, Any]) -> str:
    """Return MODEL_CARD.md. Names of classes and files are escaped: none can begin a row, a heading or a link."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  Markdown, whose own escapes `text` makes
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "text": text,
        "interval": with_interval,
        "score": score,
        "share": lambda value: f"{value:.3%}",
    }
    task = manifest["task"]
    return environment.get_template("model_card.md").render(
        **manifest, headlines=HEADLINES[task], of_class=OF_CLASS[task], differences=_differences(manifest)
    )


def text(value: object) -> str:
    """Return a text as Markdown shows it: control characters and Markdown's own marks escaped."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+-.!|~&" else each for each in printable(str(value)))


def _differences(manifest: Mapping[str, Any]) -> float | None:
    found = [each["difference"] for each in manifest["check"]["found"] if each["difference"] is not None]
    return max(found, default=None)
