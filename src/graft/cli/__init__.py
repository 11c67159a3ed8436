"""The command line: one thin file a verb, each of them parse -> one call of graft.api -> print.

Nothing here imports torch, pyarrow or rich before a verb runs, so that `graft --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from . import advise, cache, chain, check, compare, demo, distill, embed, fit, list, predict, report, resume, show, tune

app = typer.Typer(
    name="graft", rich_markup_mode=None, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="From labelled photos or texts to a tested model you can ship: graft fit PHOTOS/",
    epilog="Exit codes: 0 done, 1 a defect of graft, 2 something you can mend, 130 stopped with Ctrl-C.",
)  # fmt: skip
for name, verb in (
    ("check", check.check), ("advise", advise.advise), ("compare", compare.compare), ("tune", tune.tune), ("fit", fit.fit),
    ("chain", chain.chain), ("resume", resume.resume), ("predict", predict.predict), ("report", report.report), ("list", list.list_),
    ("show", show.show),
    ("distill", distill.distill), ("embed", embed.embed), ("cache", cache.cache), ("demo", demo.demo),
):  # fmt: skip
    app.command(name)(verb)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"graft {__version__}")
        raise typer.Exit


@app.callback()
def _graft(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False):
    pass


def main() -> None:
    """The `graft` command."""
    if not sys.warnoptions:
        # The user cannot act on the libraries' warnings; PYTHONWARNINGS=default shows them.
        import warnings

        warnings.simplefilter("ignore")
    app()
