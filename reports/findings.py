"""What is wrong with a dataset, in plain sentences with advice, from the content of explore.json."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.html.render import percent
from reports.intervals import FEW

IMBALANCE = 100  # the ratio of the commonest class to the rarest from which it is named
LARGE = 0.05  # a share that is worth a sentence
# From these shares there is an up and a down: of a class's pixels in one half, of images recognised as upright.
ONE_SIDED, UPRIGHT = 0.9, 0.75
MOST_NAMED = 6
# Parts of notes on what other findings have.
NAMED_ABOVE = ("(data.on_corrupt=skip)", "No pixel of train is", "Byte-identical")

Content = Mapping[str, Any]


def findings(found: Content) -> list[dict[str, Any]]:
    """Return what is wrong: `kind`, `text` and the `samples` in question, all of them. The gravest come first."""
    parts = (_unusable, _equal, _labels, _classes, _images, _augmentation, _notes)
    return [
        {"kind": kind, "text": text, "samples": list(samples)} for part in parts for kind, text, samples in part(found)
    ]


Found = Iterator[tuple[str, str, Sequence[str]]]


def _unusable(found: Content) -> Found:
    if found["obstacle"]:
        yield "obstacle", f"Only the images are explored, because they cannot be trained on: {found['obstacle']}", ()
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in found["skipped"]:
        reasons[each["reason"]].append(each["sample"])
    if reasons:
        count = sum(map(len, reasons.values()))
        counts = [f"{reason} ({len(names)})" if len(names) > 1 else reason for reason, names in reasons.items()]
        text = f"Files that cannot be used: {count}; training refuses them unless data.on_corrupt=skip leaves them out. {_named(counts, '; ')}"
        yield "unusable", text, [name for names in reasons.values() for name in names]


def _equal(found: Content) -> Found:
    across = [each for each in found["equal"] if len(each["splits"]) > 1]
    apart = [each for each in found["equal"] if len(each["classes"]) > 1]
    within = [each for each in found["equal"] if len(each["splits"]) == 1 and len(each["classes"]) < 2]
    if across:
        text = f"{_images_are(len(across))} in more than one split, pixel for pixel: what is scored was trained on. Remove the copies, or split by group."
        yield "equal_across", text, _samples(across)
    if near := found["near"]:
        pairs = "1 pair" if len(near) == 1 else f"{len(near):,} pairs"
        yield "near", f"Nearly the same in different splits: {pairs} of images, re-encoded, resized, cropped or mirrored copies, or of one place.", [name for each in near for name in (each["first"], each["second"])]  # fmt: skip
    if apart:
        pairs = _named(sorted({" and ".join(each["classes"]) for each in apart}))
        yield "equal_apart", f"{_images_are(len(apart))} in several classes ({pairs}): at least one class is wrong.", _samples(apart)  # fmt: skip
    if within:
        copies = sum(len(each["samples"]) - 1 for each in within)
        text = f"{_images_are(len(within))} more than once in one split, pixel for pixel (copies: {copies}): they count as if there were more data."
        yield "equal_within", text, _samples(within)


def _classes(found: Content) -> Found:
    unit = found["data"]["unit"]
    with_truth = [each["name"] for each in found["splits"] if each["images"] > each["without_truth"]]
    groups = "drives" if found["has_groups"] else "images"
    absent: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for each in found["classes"]:
        absent[tuple(split for split in with_truth if not each["splits"][split]["count"])].append(each["name"])
    for splits, names in absent.items():
        if splits:
            learnt = "they cannot be learnt" if "train" in splits else "their scores are undefined there"
            yield "absent", f"Classes without any {unit} in {' and '.join(splits)}: {_named(names)}; {learnt}.", ()
    for split in (name for name in with_truth if name in ("val", "test")):
        few = {each["name"]: n for each in found["classes"] if 0 < (n := each["splits"][split]["groups"]) < FEW}
        if few:
            listed = _named([f"{name} ({n})" for name, n in few.items()])
            yield "few", f"{split} has these classes in fewer than {FEW} {groups}, so that chance may make their scores: {listed}.", ()  # fmt: skip
    present = sorted((each["total"], each["name"]) for each in found["classes"] if each["total"])
    if present and present[-1][0] > IMBALANCE * present[0][0]:
        (least, rare), *_, (most, common) = present
        yield "imbalance", f"There are {most / least:,.0f} times as many {unit} of {common} as of {rare}: accuracy alone means little; loss.class_weights=balanced weighs them.", ()  # fmt: skip
    if (found["void"] or 0) > LARGE:
        yield "void", f"{percent(found['void'])} of the pixels have no class (void): they are neither trained on nor scored.", ()  # fmt: skip


def _images(found: Content) -> Found:
    brightness, sizes = found["brightness"], found["sizes"]
    if blank := brightness["blank"]:
        yield "blank", f"{_images_are(len(blank))} of one colour: nothing can be seen in them.", blank
    if (sizes["squashed"] or 0) > LARGE:
        network = f"data.image_size=[{sizes['network']['height']},{sizes['network']['width']}]"
        yield "squashed", f"{percent(sizes['squashed'])} of the images have another shape than {network}, and are squashed to it by more than a tenth.", ()  # fmt: skip


def _augmentation(found: Content) -> Found:
    used = found["augmentation"]
    if not used or not used["upside_down"]:
        return
    common = sorted(found["classes"], key=lambda each: -each["total"])
    where = [(f"of {each['name']} is", each["upper"]) for each in common if each["upper"] is not None][:MOST_NAMED]
    facts = [
        f"{percent(share)} {what} in the {half} half"
        for what, upper in where
        for half, share in (("upper", upper), ("lower", 1 - upper))
        if share >= ONE_SIDED
    ]
    if (upright := found["brightness"]["upright"] or 0) >= UPRIGHT:
        facts.append(f"by brightness alone {percent(upright)} of them are recognised as upright (chance: 50 %)")
    turned = f"aug={used['name']} turns an image upside down in {used['upside_down']} of {used['draws']} epochs"
    if facts:
        yield "upside_down", f"{turned}, and these images have an up and a down: {_named(facts)}. No image that is scored looks like that; aug=road flips them sideways only.", ()  # fmt: skip


def _labels(found: Content) -> Found:
    if errors := found["label_errors"]:
        what = "regions" if found["data"]["unit"] == "pixels" else "images"
        yield "label_errors", f"{errors['count']:,} {what} of {errors['judged']:,} samples may have a wrong label: predictions contradict it. The likeliest stand first.", ()  # fmt: skip


def _notes(found: Content) -> Found:
    for note in found["notes"]:
        if not any(part in note for part in NAMED_ABOVE):
            yield "note", note, ()


def _images_are(count: int) -> str:
    return "1 image is" if count == 1 else f"{count:,} images are"


def _samples(groups: Sequence[Content]) -> list[str]:
    return [name for each in groups for name in each["samples"]]


def _named(names: Sequence[str], separator: str = ", ") -> str:
    more = f"{separator.rstrip()} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return separator.join(names[:MOST_NAMED]) + more
