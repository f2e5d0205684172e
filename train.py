"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.cli.command import command
from entry.request import Request


@command("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that is reported."""
    # What makes no sense is refused before torch is imported, which takes seconds.
    if request.keys.fetch_only:
        from entry.fetch import fetch

        fetch(request)
        return
    if request.config.data.get("batch_size") == "auto" and not request.keys.resume:
        from entry.batch_size import fitted

        request = fitted(request)
    if request.keys.profile:
        from entry.profile import profile

        profile(request)
        return
    resumption = None
    if request.keys.resume:
        from entry.config.changes import to_resume

        resumption = to_resume(request)
    if resumption is not None:
        from entry import resume

        if resumption.is_finished:
            resume.print_finished(request, resumption)
            return
        ready = resume.reopened(request, resumption)
    else:
        from entry.config.resolve import resolved

        settings = resolved(request)
        from entry.run import opened

        ready = opened(request, settings)

    from entry import console
    from entry.evaluation.summary import print_limit, print_summary, print_validated
    from entry.job import Job
    from entry.launch import launch

    with ready as (run, signal):
        console.announce(run)
        launch(Job.training(run), run, signal)
    print_limit(run.folder, run.settings)
    if run.is_evaluated:
        print_summary(run.folder, run.datamodule.closing_split)
    else:
        print_validated(run.folder, run.module.headline)


if __name__ == "__main__":
    train()
