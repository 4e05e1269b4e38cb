"""The files that are shown to users: the example of digits and the one of the page, trained in small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tca.__main__ import main
from tests.tca.cli.test_cli import rows

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "how-to" / "compare-fairly.md"
TINY = ["--seeds=1", "--steps=2", "--n_train=16", "--n_test=10", "--batch_size=8", "--evaluate_every=1", "--workers=1",
        "--curvature_trials=2", "--curvature_probes=2", "--quiet"]  # fmt: skip


def text_of(name: str) -> str:
    if name != PAGE.name:
        return (ROOT / name).read_text("utf-8")
    (found,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(found)


@pytest.mark.parametrize(
    ("name", "networks", "files"),
    [
        pytest.param(
            "compare_digits.yaml",
            {"mlp", "cnn", "vector_mlp", "dual_stream_mlp", "leaky_rnn", "stacked_rnn", "spiking_rnn", "gru"},
            {"table.csv", "runs.csv", "report.html"},
            marks=pytest.mark.slow,
        ),
        (PAGE.name, {"mlp", "leaky_rnn"}, {"table.csv", "runs.csv", "differences.csv", "report.html"}),
    ],
)
@pytest.mark.usefixtures("no_figures")
def test_every_entry_of_a_file_fits_and_is_measured(
    name: str, networks: set[str], files: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text_of(name))
    assert main(["compare", f"--config={file}", *TINY, "--strict", f"--folder={tmp_path / 'out'}"]) == 0
    asked = yaml.safe_load(file.read_text())
    table = rows(tmp_path / "out", "table.csv")
    assert {row["network"] for row in table} == networks
    pairs = sum(len(each.get("tasks", asked["tasks"])) if isinstance(each, dict) else 2 for each in asked["rules"])
    assert len(table) == pairs
    for row in table:
        assert (row["runs"], row["failed"], row["diverged"]) == ("1", "0", "0")
        assert row["cosine"], row["entry"]
        assert row["largest"], row["entry"]
    hessians = {row["network"]: row["hessian"].split() for row in rows(tmp_path / "out", "runs.csv")}
    assert all(any(each.endswith("w_rec") for each in hessians[name]) for name in networks if name.endswith("rnn"))
    assert files <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "recommended" in capsys.readouterr().out
