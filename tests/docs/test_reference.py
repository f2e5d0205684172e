"""The generated pages are those of today's settings, and what conf/ holds is in them."""

import json

import pytest
import yaml

from entry.request import PROJECT
from tests.docs.reference import DOCS, schemas, settings_page

CONF = PROJECT / "conf"
FILES = [path for path in sorted(CONF.rglob("*.yaml")) if path.parent.name not in ("callbacks", "experiment")]


def test_the_page_is_not_stale():
    assert (DOCS / "SETTINGS.md").read_text() == settings_page(), "run: make reference"


def test_the_schemas_are_not_stale():
    kept = {path.name: path.read_text() for path in (DOCS / "schema").glob("*.json")}
    assert kept == schemas(), "run: make reference"


def test_each_key_has_one_row():
    rows = [
        line.split("`")[1]
        for line in settings_page().splitlines()
        if line.startswith("| `") and "." in line.split("`")[1]
    ]
    assert len(rows) == len(set(rows)) > 60
    assert {"data.image_size", "trainer.max_epochs", "optimizer.lr", "loss.auxiliary", "evaluation.flip"} <= set(rows)


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_the_schema_that_a_file_names_has_its_keys(file):
    first = next((line for line in file.read_text().splitlines() if "yaml-language-server" in line), None)
    if file.name in ("command.yaml", "sweep.yaml") or file.relative_to(CONF).parts[0] == "hydra":
        assert first is None  # Hydra's own keys
        return
    schema = json.loads((file.parent / first.split("$schema=")[1]).resolve().read_text())
    keys = set(yaml.safe_load(file.read_text()) or {})
    unknown = keys - set(schema["properties"])
    assert unknown == set() or schema["additionalProperties"], unknown
