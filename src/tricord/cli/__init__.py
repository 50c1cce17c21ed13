"""The command line: one small file per command; the only place that prints.

Exit codes: 0; 2 for what the user can mend, with one line; 1 for our bug; 130 after Ctrl-C.
"""

from __future__ import annotations

import sys

EXIT_USER, EXIT_BUG, EXIT_INTERRUPTED = 2, 1, 130


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    import click

    from tricord.cli.app import app
    from tricord.errors import TricordError

    try:
        result = app(arguments, prog_name="tricord", standalone_mode=False)
    except TricordError as error:
        return _say(f"error: {error}", EXIT_USER)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        hint = "; see tricord --help" if error.exit_code == EXIT_USER else ""
        return _say(f"error: {error.format_message()}{hint}", EXIT_USER)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _say("stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, head say, has seen enough
        sys.stderr.close()
        return 0
    except Exception:
        import traceback

        traceback.print_exc()
        return _say("this is a bug in tricord: please report it with the lines above", EXIT_BUG)
    return result if isinstance(result, int) else 0


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
