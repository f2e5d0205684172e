"""Imported by every Python process that has this folder on its path: reports the current phase of a training.

With CHAOS_PHASE=FILE the first rank writes its phase into that file, and the phases are prolonged a little, so that a
kill can hit them. Results are not affected.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time

PAUSE = float(
    os.environ.get("CHAOS_PAUSE", "0.03")
)  # seconds by which a step, a batch or half a checkpoint is prolonged
WIDTH = 12


def report(phase):
    if os.environ.get("RANK", "0") == "0":
        descriptor = os.open(os.environ["CHAOS_PHASE"], os.O_CREAT | os.O_WRONLY)
        os.pwrite(descriptor, phase.ljust(WIDTH).encode(), 0)
        os.close(descriptor)


def during(owner, name, phase):
    plain = getattr(owner, name)

    def noted(*arguments, **settings):
        report(phase)
        time.sleep(PAUSE)
        result = plain(*arguments, **settings)
        report("between")
        return result

    setattr(owner, name, noted)


def instrument():
    import contextlib

    from callbacks import checkpoint_writer
    from lightning_modules.supervised import SupervisedModule

    during(SupervisedModule, "training_step", "step")
    during(SupervisedModule, "validation_step", "validation")
    during(SupervisedModule, "test_step", "evaluation")
    plain = checkpoint_writer.atomic

    @contextlib.contextmanager
    def slow(path):
        report("checkpoint")
        with plain(path) as file:
            time.sleep(PAUSE)
            yield file
            file.flush()
            time.sleep(PAUSE)  # complete under the temporary name, absent under its own
        report("between")

    checkpoint_writer.atomic = slow


class AfterImport(importlib.abc.MetaPathFinder):
    """Instruments the classes as soon as the module that builds them has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "entry.builders.modules":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def execute_and_instrument(module):
            execute(module)
            instrument()

        spec.loader.exec_module = execute_and_instrument
        return spec


if "CHAOS_PHASE" in os.environ:
    sys.meta_path.insert(0, AfterImport())
