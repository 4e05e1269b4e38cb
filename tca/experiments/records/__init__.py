"""Records: the folder of a run, written whole, read within bounds."""

from tca.experiments.records.files import RecordError
from tca.experiments.records.reader import finished, require_same
from tca.experiments.records.record import Record, ResumedElsewhereWarning, title_of
from tca.experiments.records.recorded_networks import read, reread

__all__ = [
    "Record", "RecordError", "ResumedElsewhereWarning", "finished", "read", "require_same", "reread",
    "title_of",
]  # fmt: skip
