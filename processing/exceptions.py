"""Every error newslake raises on purpose.

Each message is one sentence that names what is wrong, where, and the mend; the command
line prints it as it stands and exits with the error's ``exit_status``.
"""


class NewslakeError(Exception):
    """Base of the family, never raised itself: catch it to print a sentence, not a traceback."""

    exit_status = 1


class ConfigurationError(NewslakeError):
    """The environment or a command's arguments are wrong.

    Raised while settings are read (``NEWSLAKE_*``, ``AWS_*``, options), before any work.
    """

    exit_status = 2


class SourceError(ConfigurationError):
    """A source's YAML file is wrong.

    Raised (or collected, when a whole catalogue is read) by ``crawlers.catalogue``; names the
    file, the field and the mend.
    """


class StoreError(NewslakeError):
    """The object store cannot be reached, refuses us, or lacks something newslake needs.

    Raised by ``processing.storage`` once boto3's own retries are used up, and by the embedded
    store's launcher when it does not start.
    """


class ObjectNotFound(StoreError):
    """No object lies under a key. Raised by ``Store.get`` and its kin."""


class NoLake(StoreError):
    """The store answers, and no lake is there yet. Raised by ``newslake.open_lake``."""


class PreconditionFailed(StoreError):
    """A conditional put lost: someone else wrote the key first.

    Raised by ``Store.put`` with ``if_match`` or ``if_none_match``. The caller reads again and
    decides again; it never simply repeats.
    """


class LakeFormatError(StoreError):
    """The lake was written by a newer newslake. Raised when ``lake.json`` is read."""


class LeaseLost(NewslakeError):
    """Another publisher has taken the lake over.

    Raised inside a publish between two commits; whatever was committed stands, and a re-run
    completes the rest.
    """


class GateError(NewslakeError):
    """What a publish would commit is not what readers are promised.

    Raised by ``processing.gate`` before anything is committed; names the row or file.
    """


class UnknownArticle(NewslakeError):
    """An id that the lake has never published. Raised by ``processing.forgetting``."""


class CrawlError(NewslakeError):
    """A crawl ended without doing its work, or a whole source of it failed.

    Raised by ``crawlers.crawl`` after everything that was fetched is safe in the store.
    """


class ServiceError(NewslakeError):
    """A local service (Airflow, the demo sites) did not start or ended by itself.

    Raised by the launchers in ``newslake``; names the service and its log file.
    """


class QueryError(NewslakeError):
    """A reader's SQL is wrong. Raised by ``newslake.reader``; carries the engine's own words."""


class ArchiveError(NewslakeError):
    """A WARC file to be imported cannot be read at all. Raised by ``processing.importing``."""


class ExportError(NewslakeError):
    """An export cannot be written where it was asked for. Raised by ``newslake.exporting``."""
