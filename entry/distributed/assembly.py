"""What a job needs, built again in another process than the one that was asked for it."""

from pathlib import Path

from entry.evaluation.assemble import assemble_external, assemble_trained
from entry.job import Job
from entry.run import Run, assemble, first_weights
from run_folder import RunFolder


def assembled(job: Job) -> Run:
    """Build the run of a job from its folder. Raises a request error where something does not fit."""
    folder, settings = RunFolder.open(Path(job.folder)), job.settings()
    if job.kind == "external":
        return assemble_external(folder, settings, job.split, job.allow)
    if job.kind == "evaluate":
        return assemble_trained(folder, settings, job.checkpoint, job.split, job.allow)
    resume_from = Path(job.resume_from) if job.resume_from else None
    return assemble(folder, settings, "none" if resume_from else first_weights(folder), resume_from, job.allow)
