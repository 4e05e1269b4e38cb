"""Records: the folder of a run, written whole, read within bounds."""

from tca.experiments.records.record import (
    Record,
    RecordError,
    ResumedElsewhereWarning,
    explained,
    finished,
    read,
    require_same,
    reread,
    tidy_up,
    title_of,
    write_whole,
)

__all__ = [
    "Record",
    "RecordError",
    "ResumedElsewhereWarning",
    "explained",
    "finished",
    "read",
    "require_same",
    "reread",
    "tidy_up",
    "title_of",
    "write_whole",
]
