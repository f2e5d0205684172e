"""Which split a folder, or a cell of a table, is named after."""

import re

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
# What such names have besides: train_set, images-train, trainset, seg_train, train2017.
_BESIDE = "sets?|data|dataset|images?|imgs?|photos?|pictures?|pics?|frames?|samples?|splits?|folders?|seg"


def split_of(name: str) -> str | None:
    """Return train, val or test where a name is a usual word for it, in any case and with or without numbers; else None."""
    words = [word for word in re.findall("[a-z]+", name.casefold()) if not re.fullmatch(_BESIDE, word)]
    joined = "".join(words)
    bare = re.sub(f"^(?:{_BESIDE})|(?:{_BESIDE})$", "", joined)
    return SPLIT_WORDS.get(joined) or SPLIT_WORDS.get(bare)
