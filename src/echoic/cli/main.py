"""The entry point: every error of the user's in one sentence, with exit code 2.

JAX, matplotlib and plotly are imported by the command that needs them, never here: ``--help`` must
answer at once.
"""

import os
import sys

import cyclopts
from rich.console import Console

from echoic import __version__
from echoic.cli import checkup, data, design, train
from echoic.cli.settings import settings_of

app = cyclopts.App(
    name="echoic",
    help="How far back does your recurrent network remember?",
    version=__version__,
)
app.command(checkup.command, name="checkup")
app.command(design.command, name="design")
app.command(train.command, name="train")
app.command(data.app)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the return value is the exit code."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app["train"].config = settings_of(sys.argv[1:] if arguments is None else arguments)
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except cyclopts.CycloptsError as error:
        return _refuse(errors, str(error))
    except (ValueError, OSError, MemoryError, ImportError) as error:
        if os.environ.get("ECHOIC_TRACEBACK"):
            raise
        return _refuse(errors, _sentence(error))
    except KeyboardInterrupt:
        errors.print("\nechoic: stopped.", markup=False)
        return 130
    return result if isinstance(result, int) else 0


def _refuse(errors: Console, sentence: str) -> int:
    from echoic.reports.style import printable

    errors.print(f"echoic: {printable(sentence)}", markup=False)
    return 2


def _sentence(error: BaseException) -> str:
    if isinstance(error, BrokenPipeError):
        return "the output was closed."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
