"""The jobs of a grid, and which of them are those of an earlier command."""

from hydra_plugins.idd_lightning._jobs import Record, Sweep
from hydra_plugins.idd_lightning.grid import Grid


def grid(tmp_path, batch, records=(), defaults=""):
    sweep = Sweep(tmp_path)
    sweep.records = {record.number: record for record in records}

    def prepare(job):
        # The settings are the same in whatever order and form a value was typed.
        job.hash = defaults + " ".join(sorted(text.replace("1e-3", "0.001") for text in job.overrides))

    return Grid(batch, ["lr"], sweep, prepare)


def numbers(source):
    found = []
    while (job := source.next()) is not None:
        found.append((job.number, *job.overrides))
    return found


def ended(number, *overrides, defaults=""):
    return Record(number, list(overrides), defaults + " ".join(sorted(overrides)), "finished")


def test_a_new_grid_is_numbered_in_its_order(tmp_path):
    source = grid(tmp_path, [["lr=1"], ["lr=2"], ["lr=2"]])
    assert [(job.number, *job.overrides) for job in source.waiting()] == [(0, "lr=1"), (1, "lr=2"), (2, "lr=2")]
    assert numbers(source) == [(0, "lr=1"), (1, "lr=2"), (2, "lr=2")]
    assert (source.total, source.waiting()) == (3, [])


def test_jobs_are_recognised_by_their_settings(tmp_path):
    before = [ended(0, "lr=0.001", "seed=1"), ended(1, "lr=2", "seed=1")]
    batch = [["lr=5", "seed=1"], ["lr=2", "seed=1"], ["seed=1", "lr=1e-3"], ["lr=2", "seed=1"]]
    assert numbers(grid(tmp_path, batch, before)) == [
        (2, "lr=5", "seed=1"),
        (1, "lr=2", "seed=1"),
        (0, "seed=1", "lr=1e-3"),
        (4, "lr=2", "seed=1"),  # typed twice: a job of its own
    ]


def test_a_job_whose_defaults_have_changed_is_another(tmp_path):
    before = [ended(0, "lr=1"), ended(1, "lr=2")]
    assert numbers(grid(tmp_path, [["lr=1"], ["lr=2"]], before, defaults="epochs=9 ")) == [(2, "lr=1"), (3, "lr=2")]
