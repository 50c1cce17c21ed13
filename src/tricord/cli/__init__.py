"""The command line: one small file per command; the only place that prints.

Exit codes: 0; 2 for what the user can mend, with one line; 1 for our bug; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys

# Threads that wait by spinning make a busy machine up to ten times slower, and those that never
# spin an idle one twice as slow: a short while. Before torch is loaded; a user's own choice stays.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

EXIT_USER, EXIT_BUG, EXIT_INTERRUPTED = 2, 1, 130


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    from tricord.cli.app import app

    try:
        result = app(arguments, prog_name="tricord", standalone_mode=False)
    except KeyboardInterrupt:
        return _say("stopped", EXIT_INTERRUPTED)
    except SystemExit:  # how typer leaves when the reader of our output, head say, is gone
        return 0
    except Exception as error:
        return _explain(error)
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> int:
    """Say what went wrong, and whose it is to mend."""
    import typer

    from tricord.errors import TricordError

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return _say("stopped", EXIT_INTERRUPTED)
    if isinstance(error, TricordError):
        return _say(f"error: {error}", EXIT_USER)
    # every complaint about the command line has this; typer does not export the class
    if hasattr(error, "format_message"):
        message = str(error.format_message())
        if message.startswith("Usage:"):  # a command that was called without a word
            return _say(message, EXIT_USER)
        return _say(f"error: {message.rstrip('.')}; see tricord --help", EXIT_USER)
    import traceback

    traceback.print_exception(error)
    return _say("this is a bug in tricord: please report it with the lines above", EXIT_BUG)


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
