"""Bugs of image sets: how files are found, read, decoded and counted."""

from __future__ import annotations

from tests.bugs.bug import Bug

DECODING = "tasks/images/decoder.py"
CLASSES = "tasks/images/image_classes.py"
PIXELS = "tasks/images/pixels.py"
FOLDERS = "tasks/images/folders.py"
CLEAR, DAMAGED, NUMBERED, COPIED, NAMED, RECORDED = (
    (f"tests/tasks/images/test_{name}.py",)
    for name in ("transparency", "damaged", "classes", "copies", "names", "provenance")
)

BUGS = [
    Bug(DECODING, "alpha dropped", "shown = Image.alpha_composite(ground, image)", "shown = image", CLEAR),
    Bug(DECODING, "every background white", "(*(self.background or WHITE), 255)",
        "(*WHITE, 255)", CLEAR),
    Bug(DECODING, "transparent level of few bits missed", '*= STRETCHED[raw]', "*= 1", CLEAR),
    Bug(DECODING, "low bits of 16 dropped", "else raw if DEEP.search(raw) else None", "else None", CLEAR),
    Bug(DECODING, "pictures that white hides", "_one_colour(shown) and not", "False and not", CLEAR),
    Bug(DECODING, "the first frame of an animation", 'getattr(image, "is_animated", False)', "False", DAMAGED),
    Bug(DECODING, "bombs within twice the limit", 'simplefilter("error", Image',
        'simplefilter("ignore", Image', DAMAGED),
    Bug(DECODING, "a colour just outside the palette", "[1] >= len(", "[1] > len(", DAMAGED),
    Bug(DECODING, "sizes compared with nothing", "self.shape = self.shape or pixels.shape",
        "self.shape = pixels.shape", DAMAGED),
    Bug("tasks/images/parquet.py", "rows not counted", "                    self._row += 1\n", "", DAMAGED),
    Bug("tasks/images/image_sources.py", "one entry for every background", "**form._asdict()}", "**form._replace(background=None)._asdict()}", CLEAR),
    Bug("tasks/images/image_sources.py", "one entry for sets of nearly the same name", '{"name": located.name, ', "{", NAMED),
    Bug(CLASSES, "classes in descending order", "numbers, labels = {value: place for place, value in enumerate(there)}",
        "numbers, labels = {value: place for place, value in enumerate(there[::-1])}", NUMBERED),
    Bug(CLASSES, "names in another order taken as the same", "shard.names != naming[0].names",
        "set(shard.names) != set(naming[0].names)", NUMBERED),
    Bug(CLASSES, "as many classes as images", "max(MANY, images // 2)", "max(MANY, images)", NUMBERED),
    Bug(CLASSES, "classes of a known set numbered anew", "if known and (renumbered or",
        "if known and (False or", NUMBERED),
    Bug(CLASSES, "classes that only test images have left unsaid", "elif listed := ",
        "elif listed := False and ", NUMBERED),
    Bug(PIXELS, "copies among test images counted", "(self.originals < count) & ", "", COPIED),
    Bug(PIXELS, "trained on what is tested on", " & ~np.isin(train_M, test)", "", COPIED),
    Bug(PIXELS, "copies within training kept", "(train_M == np.arange(len(train_M))) & ", "", COPIED),
    Bug(PIXELS, "default background recorded as black", "background or WHITE",
        "background or (0, 0, 0)", RECORDED),
    Bug(PIXELS, "images left out counted as trained on", "len(chosen_M) for part, chosen_M in",
        "len(self.train) for part, chosen_M in", RECORDED),
    Bug(PIXELS, "numbers of classes recorded for their names", "if brief and not numbered",
        "if brief and numbered", RECORDED),
    Bug("tca/experiments/records/record.py", "facts of the data left out of the record", 'values |= {"data": self.data} if',
        "values |= {} if", RECORDED),
    Bug("tasks/images/image_task.py", "leaks into what is held out left unsaid",
        "if leaked := self.data.leaked(pools):", "if leaked := 0:", COPIED),
    Bug(FOLDERS, "parts with wrong numbers", "numbers != list(range(len(parts))) or ", "", NAMED),
    Bug(FOLDERS, "parts of different wholes", " or counts != {len(parts)}", "", NAMED),
    Bug(FOLDERS, "every neighbour looked at", "or _is_folder(root, name)):", "or name in found(root)):",
        ("tests/tasks/images/test_names.py::test_nothing_but_the_folder_of_a_set_is_opened",)),
]  # fmt: skip
