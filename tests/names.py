"""Names that people give to classes, files and folders, and that meet keys, syntax or rules of somebody else's."""

import unicodedata

import numpy as np

OWN_KEYS = ("void", "truth", "file", "label", "probability", "mask", "image", "name", "iou", "support", "sample", "group", "target", "split",
            "all", "drive", "loss", "classes", "None", "nan", "null", "true", "0", "1", "-1")  # fmt: skip
SYNTAX = ("a,b", "a;b", 'a"b', '"', '""', "a\nb", "a\r\nb", "a\rb", "a\tb", " a", "a ", " ", "'", "=1+1", "# a", "-a", "--a", "..", ".", "a/b", "a\\b",
          "[a]", "[bold]", "[/bold]", ":smile:", "${a}", "???", "%s", "{0}", "$x$", "a: b", "- a", "&a", "*a", "!a", "@a", "|", "<b>", "&amp;")  # fmt: skip
LETTERS = (*(unicodedata.normalize(form, "café") for form in ("NFC", "NFD")), "Straße", "STRASSE", "Void", "VOID", "\uff56\uff4f\uff49\uff44", "सड़क", "道路", "🚗", "\u200b", "\ufeff",
           "a\u2028b", "a\x85b", "a\x0bb", "a\x1cb", "\x1b[31m", "\x00", "\u202e")  # fmt: skip
LONG = ("x" * 300, "x" * 299 + "y", "x" * 150 + "z" + "x" * 150, "é" * 200)
NAMES = (*OWN_KEYS, *SYNTAX, *LETTERS, *LONG)


def draw(seed: int, least: int = 2, most: int = 12) -> tuple[str, ...]:
    """Distinct names: of the list, with what the project might append to a name, and put together from two others."""
    draws = np.random.default_rng(seed)
    parts = [*NAMES, "", " (class)", "_2", "_classes"]
    names: dict[str, None] = {}
    count = int(draws.integers(least, most + 1))
    while len(names) < count:
        pieces = draws.choice(len(parts), int(draws.integers(1, 4)) if draws.random() < 0.5 else 1)
        names["".join(parts[piece] for piece in pieces)] = None
        if draws.random() < 0.3:  # one of the names that are there already, changed a little
            known = list(names)[int(draws.integers(len(names)))]
            changes = (known.upper(), f"{known} (class)", unicodedata.normalize("NFD", known), f"{known} ")
            names[changes[int(draws.integers(len(changes)))]] = None
    return tuple(names)
