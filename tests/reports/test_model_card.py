"""A model card states what its manifest does; no name in it can begin a row, a heading or a link."""

from reports.model_card import model_card, text

MANIFEST = {
    "format": "onnx", "file": "model.onnx", "sha256": "ab" * 32, "task": "segmentation", "model": "smp", "parameters": 5_200_000,
    "label_space": "two", "classes": ["road", "a|b\n# c"], "input": {"name": "images", "dtype": "uint8", "range": [0, 255], "size": [227, 320],
    "shape": "dynamic", "normalisation": {"mean": [0.5] * 3, "std": [0.2] * 3, "inside": True}}, "output": "logits",
    "checkpoint": {"file": "best.ckpt", "epoch": 3, "step": 40}, "run": "12-00-00_smp", "data": "idd_lite", "exported": "2026-01-01",
    "scores": {"val": {"miou": 0.68571, "accuracy": 0.9, "n_unique": 204, "n_expected": 204, "intervals": {"miou": [0.664, 0.709]},
    "classes": [{"name": "road", "iou": 0.95, "precision": 0.9, "recall": None, "support": 10}]}},
    "weights": {"used": "imagenet"}, "licence": ["One sentence."], "git_commit": {"run": "1234", "export": None},
    "check": {"found": [{"difference": 2e-6, "equal": 1.0}, {"difference": 3e-6, "equal": 0.99995}]}, "trtexec": "trtexec --onnx=model.onnx",
}  # fmt: skip


def test_the_facts_of_the_manifest_are_on_the_card():
    card = model_card(MANIFEST)
    for fact in (
        "# smp: segmentation of 2 classes", "| miou | 0.686 [0.664, 0.709] |", "On val, 204 of 204 samples", "5,200,000",
        "uint8 of shape (batch, 3, height, width)", "320×227 pixels", "| road | 0.950 | 0.900 | – | 10 |", "epoch 4, step 40",
        "logits differ by 3.0e-06 at most", "99.995% of the classes are equal", "- One sentence.", "trtexec --onnx=model.onnx",
    ):  # fmt: skip
        assert fact in card, fact
    assert "fwiou" not in card


def test_weights_and_a_run_without_scores():
    inside = {**MANIFEST["input"], "normalisation": {**MANIFEST["input"]["normalisation"], "inside": False}}
    card = model_card({**MANIFEST, "scores": {}, "trtexec": None, "input": inside, "parameters": None, "weights": None})
    assert "no evaluation of this checkpoint" in card
    assert "minus\nmean [0.5, 0.5, 0.5], divided by [0.2, 0.2, 0.2]" in card
    assert "trtexec" not in card


def test_names_are_escaped():
    assert text("a|b\n# [c](d)") == r"a\|b\\n\# \[c\]\(d\)"
    classes = [{"name": "x\n# y | z", "iou": 1.0, "precision": 1.0, "recall": 1.0, "support": 1}]
    card = model_card({**MANIFEST, "scores": {"val": {**MANIFEST["scores"]["val"], "classes": classes}}})
    assert r"| x\\n\# y \| z | 1.000" in card
