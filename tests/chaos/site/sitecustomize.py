"""Imported by every Python process that has this folder on its path: makes a training say what it is doing right now.

With CHAOS_PHASE=FILE the first rank writes the phase it is in into that file, and the phases are stretched a little, so
that a kill can hit them. What is computed stays as it is.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time

PAUSE = float(os.environ.get("CHAOS_PAUSE", "0.03"))  # seconds that a step, a batch or half a checkpoint lasts longer
WIDTH = 12


def say(phase):
    if os.environ.get("RANK", "0") == "0":
        descriptor = os.open(os.environ["CHAOS_PHASE"], os.O_CREAT | os.O_WRONLY)
        os.pwrite(descriptor, phase.ljust(WIDTH).encode(), 0)
        os.close(descriptor)


def during(owner, name, phase):
    plain = getattr(owner, name)

    def noted(*arguments, **settings):
        say(phase)
        time.sleep(PAUSE)
        result = plain(*arguments, **settings)
        say("between")
        return result

    setattr(owner, name, noted)


def instrument():
    import contextlib

    from lightning_modules import checkpoint_io
    from lightning_modules.supervised import SupervisedModule

    during(SupervisedModule, "training_step", "step")
    during(SupervisedModule, "validation_step", "validation")
    during(SupervisedModule, "test_step", "evaluation")
    plain = checkpoint_io.atomic

    @contextlib.contextmanager
    def slow(path):
        say("checkpoint")
        with plain(path) as file:
            time.sleep(PAUSE)
            yield file
            file.flush()
            time.sleep(PAUSE)  # all is written under the temporary name, nothing under its own
        say("between")

    checkpoint_io.atomic = slow


class AfterImport(importlib.abc.MetaPathFinder):
    """Instruments as soon as the module that builds everything has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "entry.build.modules":
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
