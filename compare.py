"""Compare runs over the same samples: python compare.py 'runs=[RUN_FOLDER,RUN_FOLDER]'. Only pictures need torch."""

from entry.cli.command import command
from entry.request import Request


@command("compare")
def compare(request: Request) -> None:
    """Read the runs' evaluations, compare each pair, write the tables and the page, and check what the first run needs to have.

    A sweep's folder gets its own page, and nothing else where its jobs were not evaluated.
    """
    from entry import sweep_page

    if (sweep := sweep_page.sweep_folder(request)) is not None:
        print(sweep_page.write(sweep), flush=True)
        if not sweep_page.is_evaluated(sweep, request.keys.split):
            return
    from entry import comparison, requirement

    required = requirement.parsed(request.keys.require)
    recipes = comparison.recipes_of(request, required)
    compared = comparison.compare(recipes, required)
    print(comparison.write(request, recipes, compared), flush=True)
    requirement.check(required, compared)


if __name__ == "__main__":
    compare()
