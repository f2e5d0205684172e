import pytest

from settings.errors import SettingsError
from settings.export import WEIGHTS, ExportKeys
from settings.run import validated


def test_what_export_writes_by_default():
    keys = validated(ExportKeys, {})
    assert (keys.format, keys.input, keys.output, keys.shape) == ("safetensors", "uint8", "logits", "dynamic")
    assert set(WEIGHTS) == {"safetensors", "onnx", "torch_export"}


@pytest.mark.parametrize("key", ["format", "input", "output", "shape"])
def test_other_values_are_refused_with_those_there_are(key):
    with pytest.raises(SettingsError, match=f"{key}=tflite: must be .* or "):
        validated(ExportKeys, {key: "tflite"})
