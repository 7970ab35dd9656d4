"""The ``enclavize`` command."""

import _thread
import atexit
import errno
import gc
import io
import os
import signal
import sys
import time
from types import FrameType

from enclavize.errors import EnclavizeError, UsageError

_HINTS = {
    errno.ENOSPC: "make room on that disk, or choose another with XDG_CACHE_HOME or dest=",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
}
_EXIT_INTERRUPTED = 130
_COLLECT_AFTER = 200_000
"""Objects made and not yet freed, by which the garbage collector begins. Python's 700 let it look again and
again at what is only being loaded, for a tenth of the time that a short command takes."""
_GRACE = 2.0
"""Seconds from ^C to the end, at most."""


def main() -> None:
    """Run one command and end the process with its exit code; see ``enclavize.errors``."""
    gc.set_threshold(_COLLECT_AFTER)
    atexit.register(gc.freeze)  # nor does it look at what ends with the process
    _open_missing_streams()
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


def _open_missing_streams() -> None:
    """Let streams that were closed (``>&-``) lead to nowhere: a blob could be opened in their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the least number that is free
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - a descriptor


def _main() -> None:
    from enclavize.cli.state import state

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        _dispatch(sys.argv[1:])
    except EnclavizeError as error:
        if state.show_traceback:
            raise
        fail(str(error), error.hint, error.exit_code)
    except OSError as error:
        if state.show_traceback:
            raise
        where = f"{error.filename}: " if error.filename else ""
        hint = _HINTS.get(error.errno or 0)
        # Only who started the command gives names that no file can have.
        kind = UsageError if error.errno == errno.ENAMETOOLONG else EnclavizeError
        fail(f"{where}{error.strerror or error}", hint, kind.exit_code)
    finally:
        _flush_results()


def _dispatch(words: list[str]) -> None:
    if words[:1] == ["run"]:
        from enclavize.cli.run import run

        sys.exit(run(words[1:]))
    from enclavize.cli.app import app_for
    from enclavize.cli.grammar.optional import complete_optional_values

    completed = complete_optional_values(words)
    app_for(completed)(completed, prog_name="enclavize")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop in good order; if that takes too long, as while a registry does not answer, stop at once.

    What is left then has no lock any more, and the next build removes it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: os._exit(_EXIT_INTERRUPTED))
    # Not threading.Timer: the signal may have come while a thread was started, under the lock of that module.
    _thread.start_new_thread(_end_late, ())
    raise KeyboardInterrupt


def _end_late() -> None:
    time.sleep(_GRACE)
    os._exit(_EXIT_INTERRUPTED)


def _flush_results() -> None:
    """Write what is left of the results. Whoever closed the pipe does not want them: no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, hint: str | None, exit_code: int) -> None:
    """Write the error to standard error and end the process."""
    red, plain = (
        ("\033[31m", "\033[0m") if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    )
    sys.stderr.write(f"{red}ERROR: {message}{plain}\n")
    if hint:
        sys.stderr.write(f"hint: {hint}\n")
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
