"""``python -m newslake`` is the ``newslake`` command."""

from newslake.cli import main

main()
