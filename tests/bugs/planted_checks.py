"""Bugs of the checks of arguments and of the messages about them."""

from __future__ import annotations

from tests.bugs.bug import Bug

STRICT = "tca/utils/schemas.py"
CHECKS = ("tests/tca/utils/test_checks.py",)
METHODS = ("tests/tca/test_method_arguments.py",)

BUGS = [
    Bug("tca/utils/checks.py", "methods that training repeats take any number",
        "if type(value) is not int or not least <= value < 2**63:", "if type(value) is not int:", METHODS),
    Bug("tca/utils/checks.py", "methods that training repeats take any class", "    if type(value) not in known:",
        "    if value is None:", METHODS),
    Bug("tasks/trials.py", "subsets by anything", "    @checked\n    def subset(", "    def subset(", METHODS),
    Bug(STRICT, "bools are integers", "isinstance(number, bool) or not isinstance(number, (int, kind))",
        "not isinstance(number, (int, kind))", CHECKS),
    Bug(STRICT, "numbers may be infinite", '{"allow_inf_nan": False}', '{"allow_inf_nan": True}', CHECKS),
    Bug(STRICT, "integers of any length", '"lt": 2**63', '"lt": 2**80', CHECKS),
    Bug(STRICT, "a string is a sequence of strings", "NOT_SEQUENCES = (str, bytes,", "NOT_SEQUENCES = (bytes,", CHECKS),
    Bug(STRICT, "complex tensors are taken", "isinstance(value, torch.Tensor) and not value.is_complex()",
        "isinstance(value, torch.Tensor)", CHECKS),
    Bug("tca/utils/argument_errors.py", "the whole is blamed for its entry", "path = max(paths, key=len)",
        "path = min(paths, key=len)", CHECKS),
    Bug(STRICT, "integers become numbers", "        return number  # an integer stays",
        "        return kind(number)  # an integer stays",
        CHECKS),
    Bug("tca/utils/names.py", "long tables are listed whole", "LISTED = 8", "LISTED = 800", CHECKS),
    Bug("tca/cli/errors.py", "--lr without a hint", 'each.endswith(f".{name}")', "each == name",
        ("tests/tca/cli/test_cli.py",)),
]  # fmt: skip
