"""The process of ``newslake``, or ``python -m newslake``: the command line, and how it ends."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from newslake import cli


def main() -> NoReturn:
    """Run the command line; the process ends with its status, whatever other threads still do.

    Threads of Arrow's may let go of what they have read after it has been answered. Were Python
    being taken apart by then, that would abort the process and make a failure of a success
    (https://github.com/apache/arrow/issues/34314). So it is never taken apart.
    """
    status = 1  # as after a traceback

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # click has told of it: it flushes what it writes
                stream.flush()
        os._exit(status)

    atexit.register(leave)  # the first is the last to be called
    try:
        cli.main()
    except SystemExit as said:
        status = said.code if isinstance(said.code, int) else int(said.code is not None)
        raise


if __name__ == "__main__":
    main()
