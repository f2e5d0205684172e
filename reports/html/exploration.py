"""The page of a dataset, explore.html: every number comes from explore.json beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.html.pictures import Picture
from reports.html.render import render

PAGE = "explore.html"


@dataclass(frozen=True)
class Pictures:
    """The pictures of a page; none of all where it has none.

    Args:
        samples: by name, an image and its mask, or the image alone.
        thumbnails: by name, of images in question.
        augmented: a sample as it is, then in each epoch; likewise.
        errors: of candidates for label errors, in their order; likewise.
        legend: the name and the colour of each class, of masks.
    """

    samples: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    thumbnails: Mapping[str, Picture] = field(default_factory=dict)
    augmented: Sequence[Sequence[Picture]] = ()
    errors: Sequence[Sequence[Picture]] = ()
    legend: Sequence[tuple[str, str]] = ()


def page(content: Mapping[str, Any], pictures: Pictures) -> str:
    """Return the page of the content of explore.json."""
    counts = {split["name"]: [each["splits"][split["name"]]["count"] for each in content["classes"]] for split in content["splits"]}  # fmt: skip
    return render(
        "exploration.html",
        **content,
        pictures=pictures,
        images=sum(each["images"] for each in content["splits"]),
        totals={name: max(1, sum(each)) for name, each in counts.items()},
        across=sum(len(each["splits"]) > 1 for each in content["equal"]),
        trained=[each["name"] for each in content["splits"] if each["images"] > each["without_truth"]],
    )
