"""benchmarks/gpu_check.py: refused without a GPU; on the CPU with tiny sizes, from its first check to its page."""

import sys
from importlib.metadata import version

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import QUICK, Page, make_images
from benchmarks.gpu_speed import counting, ours


def check(monkeypatch, *typed):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *map(str, typed)])
    return gpu_check.main()


def test_without_a_gpu_it_ends_with_two_and_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check(monkeypatch, "--out", tmp_path / "gpu") == 2
    assert capsys.readouterr().err == (
        "torch sees no GPU on this machine. To try the script itself: --device cpu --quick\n"
    )
    assert not (tmp_path / "gpu").exists()


def test_what_is_wrong_or_raised_is_a_failed_check_and_the_others_go_on():
    def raising():
        raise RuntimeError("lost")

    page = Page()
    page.check("good", lambda: "")
    assert not page.failed
    page.check("different", lambda: "layer.weight")
    page.check("broken", raising)
    assert [(name, result) for name, result, _ in page.checks] == [("good", "passed"), ("different", "failed"), ("broken", "failed")]  # fmt: skip
    assert [detail for *_, detail in page.checks][1:] == ["layer.weight", "RuntimeError: lost"]


def test_both_ways_of_counting_agree():
    seconds, agree = counting("cpu", (108, 192))
    assert agree
    assert set(seconds) == {"idd-lightning", "torchmetrics"}


@pytest.mark.slow
def test_on_the_cpu_with_tiny_sizes_every_check_passes_and_the_page_has_all_tables(monkeypatch, tmp_path):
    assert check(monkeypatch, "--device", "cpu", "--quick", "--out", tmp_path) == 0
    (page,) = tmp_path.glob("CPU_*.md")
    text = page.read_text()
    assert text.count("| passed |") == 4
    assert "failed" not in text
    assert all(f"| {work.name} | images/s |" in text for work in QUICK)
    assert text.count("| bf16-mixed, idd-lightning, from disk |") == 2
    assert f"torch {version('torch')}" in text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("work", QUICK, ids=["classification", "segmentation"])
def test_no_step_waits_for_the_gpu(tmp_path, work):
    images = make_images(tmp_path / "images", work, work.batch * (work.steps + 2))
    typed = () if not work.segments else ("data.classes=[a,b,c]",)
    assert ours(work, images, tmp_path / "run", "gpu", "bf16-mixed", *typed, "data.cache=true", strict=True).rate > 0
