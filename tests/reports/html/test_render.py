import base64
import hashlib
import re
from pathlib import Path

import pytest

from reports.html.render import TEMPLATES, chance, duration, percent, render, score, short, signed, size, whole


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (score, 0.12345, "0.123"), (score, None, "–"), (percent, 0.004, "<1 %"), (percent, 0, "0 %"), (percent, 1, "100 %"), (percent, 0.999, ">99 %"),
        (percent, 0.126, "13 %"), (percent, None, "–"), (whole, 1234567, "1,234,567"), (whole, None, "–"), (duration, 0.84, "0.8 s"), (duration, 59, "59 s"),
        (duration, 125, "2 min 5 s"), (duration, 3 * 3600 + 720, "3 h 12 min"), (duration, None, "–"), (size, (360, 640), "640 × 360"),
        (short, "a" * 20 + "b" * 20, "a" * 14 + "…" + "b" * 14),
    ],
)  # fmt: skip
def test_how_numbers_are_written(function, value, text):
    assert function(value) == text


def test_the_policy_allows_the_page_its_own_style_and_script_only():
    page = render("base.html")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page).group(1).replace("&#39;", "'")
    for kind, tag in (("style", "style"), ("script", "script")):
        content = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_templates_have_nothing_that_the_policy_forbids():
    for template in filter(Path.is_file, TEMPLATES.rglob("*")):
        text = template.read_text()
        assert "http:" not in text
        assert "https:" not in text
        assert not re.search(r"""\s(style|on\w+)=["']""", text), template.name


def test_differences_and_chances():
    assert [signed(value) for value in (0.0214, -0.5, None)] == ["+0.021", "-0.500", "–"]
    assert [chance(p) for p in (0.2, 0.0004, None)] == ["0.200", "<0.001", "–"]
