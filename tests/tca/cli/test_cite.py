"""BibTeX of rules, tasks, networks and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks
import tca
from tasks.images.catalogue import DIGITS, KNOWN
from tca.__main__ import main
from tca.cells import CELLS
from tca.cli.bibliography import entries, entries_of_run
from tca.nets import NETWORKS

YEAR = re.compile(r"\((\d{4})\)")


def cited(capsys: pytest.CaptureFixture[str], *names: str) -> list[str]:
    assert main(["cite", *names]) == 0
    return re.findall(r"^@\w+\{([\w]+),$", capsys.readouterr().out, re.MULTILINE)


def test_every_use_of_an_entry_exists_and_every_key_is_one_entry() -> None:
    keys = [each.key for each in entries()]
    assert len(keys) == len(set(keys)) > 50
    known = {f"rule {name}" for name in tca.RULES} | {f"network {name}" for name in (*NETWORKS, *CELLS)}
    known |= {f"task {name}" for name in tasks.NATIVE} | {"task neurogym"}
    known |= {f"loss {name}" for name in tca.losses.LOSSES} | {f"image {name}" for name in (DIGITS, *KNOWN)}
    assert [use for each in entries() for use in each.uses if use not in known] == []


@pytest.mark.parametrize("name", sorted(tca.RULES))
def test_every_rule_has_the_papers_of_its_row(name: str) -> None:
    """An entry for each paper of the reference: same year, and its first author among the authors."""
    mine = [each for each in entries() if f"rule {name}" in each.uses]
    assert mine, name
    reference = tca.RULES[name].reference
    years = sorted({re.search(r"year = \{(\d{4})\}", each.text)[1] for each in mine})
    assert years == sorted(set(YEAR.findall(reference)))
    for each in mine:
        plain = re.sub(r"""\{\\['"]?(\w)\}""", r"\1", each.text)
        author = re.search(r"author = \{(\w+)", plain)[1]
        assert author[:3].lower() in re.sub(r"\W", " ", reference).lower(), (author, reference)


@pytest.mark.parametrize("name", sorted(tasks.NATIVE))
def test_every_native_task_has_an_entry(name: str) -> None:
    assert [each for each in entries() if f"task {name}" in each.uses]


def test_every_author_has_a_first_name_and_every_entry_a_title() -> None:
    for each in entries():
        authors = re.search(r"author = \{(.*)\}", each.text)[1].split(" and ")
        assert [author for author in authors if not re.fullmatch(r"[^,]+, [^,]+", author)] == [], each.key
        assert "title = {" in each.text, each.key


@pytest.mark.parametrize("name", sorted({*CELLS} - {"leaky_cell"}))
def test_every_published_cell_has_an_entry(name: str) -> None:
    (paper,) = [each for each in entries() if f"network {name}" in each.uses]
    assert paper.text in entries_of_run({"rule": "bptt", "task": "delayed_xor", "net": {"kind": name}})


def test_an_entry_is_balanced_bibtex() -> None:
    for each in entries():
        assert each.text.count("{") == each.text.count("}"), each.key
        assert re.fullmatch(r"@\w+\{\w+,\n(?:  \w+ = \{.*\},?\n)+\}", each.text), each.text


def test_names_and_runs_are_cited_once_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cited(capsys, "rflo") == ["murray2019"]
    assert cited(capsys, "eprop", "global_broadcast") == ["bellec2020"]
    assert cited(capsys, "gru", "alif") == ["cho2014", "bellec2018"]
    assert cited(capsys, "PerceptualDecisionMaking-v0") == ["molanomazon2022"]
    assert cited(capsys) == ["tca"]
    assert cited(capsys, "mnist", "focal", "cifar10", "cifar100") == ["lecun1998", "lin2017", "krizhevsky2009"]
    run = tca.Run("delayed_xor", "mdgl", net={"size": 4}, steps=1, n_train=8, n_test=8)
    tca.train(run, tmp_path / "one", progress=False)
    assert cited(capsys, str(tmp_path)) == ["tca", "liu2021", "kim2019"]
    (tmp_path / "compared" / "runs").mkdir(parents=True)  # where a comparison has its records
    (tmp_path / "one").rename(tmp_path / "compared" / "runs" / "one")
    assert cited(capsys, str(tmp_path / "compared")) == ["tca", "liu2021", "kim2019"]


def test_loss_and_images_of_a_run_are_cited() -> None:
    """A loss by its name or with options; the digits without their name."""
    cases: list[tuple[tca.Run, set[str]]] = [
        (tca.Run("images", "backprop", task_options={"name": "mnist"}, loss="focal"), {"lecun1998", "lin2017"}),
        (tca.Run("images", "backprop", loss=tca.losses.Focal(3.0)), {"alpaydin1998", "lin2017"}),
        (tca.Run("delayed_xor", "eprop"), set()),
    ]
    data = {each.key for each in entries() if any(use.startswith(("loss", "image")) for use in each.uses)}
    for run, keys in cases:
        text = "".join(entries_of_run(run.to_json()))
        assert {key for key in data if f"{{{key}," in text} == keys


def test_a_registered_rule_is_cited_by_its_reference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tca.rules import RULES

    rule = tca.Rule(tca.signals.Random(), tca.eligibilities.Diagonal(), reference="Doe (2027), a preprint")
    monkeypatch.setitem(RULES, "mine", rule)
    assert main(["cite", "mine"]) == 0
    assert capsys.readouterr().out == "@misc{mine,\n  note = {Doe (2027), a preprint}\n}\n"


def test_an_unknown_name_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "epropp"]) == 2
    assert "eprop" in capsys.readouterr().err
