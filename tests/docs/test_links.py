"""README.md and docs/*.md: every link, anchor, picture and command line exists."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from entry.cli.overrides import with_quotes
from label_spaces.catalogue import load
from label_spaces.crosswalk import read

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MOST_LINES = 140
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\b(train|evaluate|predict|explore|compare|export)\.py\b(.*)")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings: lower case, punctuation removed, a hyphen for each space."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file and the anchor (or nothing) of each relative link."""
    for target in LINK.findall(prose(page)):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def commands() -> Iterator[tuple[str, str]]:
    """The name and the arguments of each command line in the code blocks and between backticks."""
    for page in (page for page in PAGES if page.name != "EXTENDING.md"):  # its own test executes them, with its options
        text = page.read_text(encoding="utf-8")
        blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
        inline = "\n".join(re.findall(r"`([^`\n]+)`", prose(page)))
        for line in f"{blocks}\n{inline}".splitlines():
            if "--config-dir=" in line:
                continue  # options of somebody's own
            if (found := COMMAND.search(line)) and ("python " in line or "torchrun " in line):
                yield found[1], found[2].strip()


def one_job_each(arguments: str) -> Iterator[list[str]]:
    """The overrides of each job that a command line stands for: one, unless it is a sweep."""
    words = [re.sub(r"^(\+*)launcher\.", r"\1hydra.launcher.", word) for word in shlex.split(arguments, comments=True)]
    overrides = [word for word in words if not word.startswith("-")]  # no --help, no -m
    choices = []
    for override in OverridesParser.create().parse_overrides([with_quotes(each) for each in overrides]):
        key = override.get_key_element()
        if override.is_interval_sweep():
            choices.append([f"{key}={override.value().start}"])
            continue
        swept = [f"{key}={value}" for value in override.sweep_string_iterator()] if override.is_sweep_override() else []
        choices.append(swept or [str(override.input_line)])
    yield from map(list, itertools.product(*choices))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_anchor_exists(page: Path) -> None:
    found = list(links(page))
    assert [str(path) for path, _ in found if not path.exists()] == []
    assert [f"{path.name}#{anchor}" for path, anchor in found if anchor and anchor not in anchors(path)] == []


def test_the_readme_is_short_and_links_every_page() -> None:
    readme = PAGES[0]
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert {*PAGES[1:]} <= {path for path, _ in links(readme)}


def test_every_picture_is_shown_and_small() -> None:
    shown = {path for page in PAGES for path, _ in links(page) if path.suffix == ".png"}
    assert shown == {*(ROOT / "docs/images").iterdir()}
    assert [path.name for path in shown if path.stat().st_size > 400_000] == []


def example(page: str, header: str) -> str:
    """The code block of a page that begins with a header line."""
    return next(
        block.strip("`\n") for block in FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
        if block.startswith(f"```\n{header}")
    )  # fmt: skip


def test_the_csv_examples_can_be_read(tmp_path: Path) -> None:
    own, walk, source = (tmp_path / name for name in ("own.csv", "walk.csv", "four.csv"))
    own.write_text(example("OWN_DATA.md", "name,id,red"))
    assert (load(str(own)).classes, load(str(own)).void_ids) == (("road", "sky"), (0,))
    walk.write_text(example("EXTERNAL_MODELS.md", "source,target"))
    source.write_text("name,id\nbackground,0\nhuman,1\ncow,2\nlamp,3\n")
    found = read(walk, load(str(source)), load("idd_level3"))
    assert (found.named("full"), found.named("shared"), found.rest) == (["person + animal"], ["rider"], (0,))


def test_every_command_composes() -> None:
    """Each group option and each key exists. Jobs of the same options are composed together, as composing is slow."""
    GlobalHydra.instance().clear()
    keys: dict[tuple[str, ...], set[str]] = {}
    for name, job in ((name, job) for name, arguments in commands() for job in one_job_each(arguments)):
        options = [word for word in job if (ROOT / "conf" / word.split("=")[0]).is_dir()]
        keys.setdefault((name, *sorted(options)), set()).update({*job} - {*options})
    assert {name for name, *_ in keys} == {"train", "evaluate", "predict", "explore", "compare", "export"}
    failed = []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for (name, *options), typed in keys.items():
            try:
                compose(config_name=name, overrides=[*options, *sorted(typed)])
            except HydraException as error:  # collected, so that all of them are listed together
                failed.append(f"{name}.py {' '.join(options)}: {error}")
    assert failed == []
