"""The ``heatstream`` command: what it offers, and how its errors and warnings reach the user.

Exit codes: 0 done; 1 `bench --compare` found something slower, or `process` could not do every video; 2 wrong use or an
error heatstream knows, told in one line on stderr; 129, 130 and 143 ended by SIGHUP, Ctrl-C and SIGTERM, with every
result so far written.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, TextIO

import typer
import typer.core

from heatstream.demo.commands.bench import bench
from heatstream.demo.commands.build import build
from heatstream.demo.commands.decode import decode
from heatstream.demo.commands.demo import demo
from heatstream.demo.commands.describe import describe
from heatstream.demo.commands.doctor import doctor
from heatstream.demo.commands.evaluate import evaluate
from heatstream.demo.commands.export import export
from heatstream.demo.commands.fetch import fetch
from heatstream.demo.commands.label import label
from heatstream.demo.commands.latency import latency
from heatstream.demo.commands.models import models
from heatstream.demo.commands.process import process
from heatstream.demo.commands.recipe import recipe
from heatstream.demo.commands.recover import recover
from heatstream.demo.commands.run import run
from heatstream.demo.commands.train import train
from heatstream.demo.terminal.messages import print_message, without_passwords
from heatstream.errors import HeatstreamError
from heatstream.version import __version__

__all__ = ["app", "main"]

NO_ROOM = (errno.EPIPE, errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What writing results is answered by our sinks; without a sink it is what the command prints that found no room."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for wrong use; where it lives differs from version to version."""

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"heatstream {__version__}")
        raise typer.Exit


class _Commands(typer.core.TyperGroup):
    """Commands whose complaints about what was typed show no password."""

    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except USAGE_ERROR as error:
            wrong: Any = error
            wrong.message = without_passwords(str(wrong.message))
            raise


app = typer.Typer(
    name="heatstream",
    cls=_Commands,
    epilog="Start with: heatstream demo, heatstream run 0, heatstream doctor",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Find people and their keypoints in camera frames and videos, in real time."""


for command in (
    run,
    decode,
    recover,
    fetch,
    process,
    label,
    recipe,
    train,
    export,
    describe,
    build,
    bench,
    latency,
    models,
    doctor,
    demo,
):
    app.command()(command)
app.command("eval")(evaluate)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; the entry point of ``heatstream`` and ``python -m heatstream``.

    Args:
        arguments: as on the command line, without the program's name; those of the process when left out.
    """
    warnings.showwarning = _show_warning
    try:
        try:
            app(arguments, prog_name="heatstream")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except HeatstreamError as error:
        for line in str(error).splitlines():  # a recipe's faults have a line each
            print_message(line)
    except ImportError as error:
        # A core library that is installed but does not load, such as OpenCV on a system without libGL.
        print_message(f"{error}: `heatstream doctor` says how to get it")
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        _give_up_stdout(ended.__context__)  # typer ends quietly then, with the code of `bench --compare`
    except OSError as error:
        if error.errno in NO_ROOM:
            _give_up_stdout(error)
        elif error.filename is None:
            raise
        else:  # a name too long, a folder that may not be looked into
            print_message(f"{error.filename} cannot be used ({error.strerror}): check the path")
    except MemoryError as error:
        print_message(f"this machine has not enough memory ({error}): choose smaller sizes, or fewer things at once")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(EXIT_ERROR)


def _give_up_stdout(error: OSError) -> None:
    """Say why nothing more can be printed, and keep Python from trying again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error.__context__, HeatstreamError):  # it came first, and the table of the run was on its way out
        print_message(str(error.__context__))
    elif error.errno == errno.EPIPE:
        print_message("what reads the standard output has ended before everything was printed")
    else:
        print_message(f"the output cannot be written ({error.strerror}): make room or write elsewhere")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line for the user, without the place in the source."""
    print_message(f"warning: {message}")
