"""The ``enclavize`` command."""

import errno
import os
import signal
import sys

from enclavize.errors import EnclavizeError

_HINTS = {
    errno.ENOSPC: "make room on that disk, or choose another with XDG_CACHE_HOME or dest=",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
}
_EXIT_INTERRUPTED = 130


def main() -> None:
    """Run one command and end the process with its exit code; see ``enclavize.errors``."""
    from enclavize.cli.app import app
    from enclavize.cli.grammar.optional import complete_optional_values
    from enclavize.cli.state import state

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after ^C
    try:
        app(complete_optional_values(sys.argv[1:]), prog_name="enclavize")
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    except EnclavizeError as error:
        if state.show_traceback:
            raise
        fail(str(error), error.hint, error.exit_code)
    except OSError as error:
        if state.show_traceback:
            raise
        where = f"{error.filename}: " if error.filename else ""
        hint = _HINTS.get(error.errno or 0)
        fail(f"{where}{error.strerror or error}", hint, EnclavizeError.exit_code)


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
