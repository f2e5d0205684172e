"""Export a run's model: python export.py run=RUN_FOLDER format=safetensors|onnx|torch_export."""

from entry.cli.command import command
from entry.request import Request


@command("export")
def export(request: Request) -> None:
    """Write weights or a graph with a manifest and a model card, once they predict what the run does."""
    # What makes no sense is refused before torch is imported, which takes seconds.
    from entry.export.request import requested, target_folder

    folder, settings, keys = requested(request)
    target = target_folder(request)
    from entry.export import write

    found = write.export(folder, settings, keys, request.keys.checkpoint, target)
    print(write.summary(found))
    print(target, flush=True)


if __name__ == "__main__":
    export()
