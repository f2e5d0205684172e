"""Doing a job in as many processes as were requested."""

from callbacks.signals import StopSignal
from entry.job import Job, carry_out
from entry.request import launched
from entry.run import Run


def launch(job: Job, run: Run, signal: StopSignal) -> None:
    """Do a job: in this process if it is alone or one of an outer launcher's, else in processes of its own.

    Raises what ended the job: RunStopped, RequestError, TrainingError, RankError.
    """
    if launched():
        from entry.distributed.torchrun import share

        share(job, run, signal)
    elif run.machine.ranks == 1:
        carry_out(job, signal, run)
    else:
        from entry.distributed.supervisor import run_ranks

        run_ranks(job.to_json(), job.kind, run.machine, run.folder.path)
