"""The studies from end to end at a size that a test can afford, and the facts that they rest on."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

import tca
from studies import alignment_study, cell_types, every_rule, sparse_feedback, torus
from studies.cell_type_cases import CASES, Case
from studies.tables import COMPARED, Table, mean_and_spread
from studies.torus import Measured, Setting, Torus, Trial
from studies.workloads import Learned, learn, spread
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics

TINY = Setting(Torus(side=3, readout=0.2), task="delayed_match", task_options={}, batch_size=4, steps=4, n_train=12,
               n_test=6, evaluate_every=2)  # fmt: skip
QUICK = replace(
    every_rule.COMMON,
    net=replace(every_rule.COMMON.net, size=6),
    batch_size=4,
    steps=2,
    n_train=8,
    n_test=6,
    evaluate_every=2,
)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table."""
    return list(csv.DictReader(path.read_text().splitlines()))


def written(folder: Path, name: str) -> None:
    """Check that a figure is there in both forms, with its numbers."""
    assert (folder / f"{name}.svg").read_text().startswith("<?xml")
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(rows_of(folder / f"{name}.csv")) > 1


def test_the_study_of_sparse_feedback_runs_and_reads_its_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule at every fraction has a row, paired with the baseline; a second time nothing is trained."""
    words = [f"--out={tmp_path}", "--seeds=2"]
    assert sparse_feedback.main(words, TINY) == 0
    first = capsys.readouterr().out
    found = rows_of(tmp_path / "sparse_feedback.csv")
    assert [(each["rule"], each["readout"]) for each in found] == [
        (name, f"{fraction:.0%}") for fraction in sparse_feedback.FRACTIONS for name in sparse_feedback.rules(fraction)
    ]
    assert {each["rule"] for each in found if not each[f"minus sparse e-prop, {COMPARED}"]} == {"sparse e-prop"}
    written(tmp_path, "sparse_feedback_learning")
    written(tmp_path, "sparse_feedback_difference")
    monkeypatch.setattr(torus, "_train", lambda trial: pytest.fail("trained again"))
    assert sparse_feedback.main(words, TINY) == 0
    assert capsys.readouterr().out == first


def test_what_a_record_holds_is_what_is_reported(tmp_path: Path) -> None:
    """A record is read as it is, belongs to one trial, and is not touched by another."""
    trial = Trial(TINY, "sparse e-prop", sparse_feedback.rules(0.2)["sparse e-prop"], seed=1)
    measured = torus.train(trial, tmp_path)
    assert [each.step for each in measured] == [0, 2, 4]
    others = [
        replace(trial, seed=2),
        replace(trial, setting=replace(TINY, steps=6)),
        replace(trial, rule=tca.RULES["bptt"]),
    ]
    assert len({each.path(tmp_path) for each in (trial, *others)}) == 4
    assert replace(trial, label="another name").path(tmp_path) == trial.path(tmp_path)
    path = trial.path(tmp_path)
    content = json.loads(path.read_text())
    content["measured"][-1]["accuracy"] = 0.123
    path.write_text(json.dumps(content))
    assert torus.train(trial, tmp_path)[-1].accuracy == 0.123


def test_all_rules_start_from_the_same_weights_and_see_the_same_trials(tmp_path: Path) -> None:
    """Before any update all rules have the same loss, after some they differ; another seed starts elsewhere."""
    names = ("BPTT", "sparse e-prop", "diffusion")
    found = [torus.train(Trial(TINY, name, sparse_feedback.rules(0.2)[name], 0), tmp_path) for name in names]
    assert len({each[0].loss for each in found}) == 1
    assert len({each[-1].loss for each in found}) == len(names)
    assert found[0][0].cosine == pytest.approx(1)
    other = torus.train(Trial(TINY, "BPTT", tca.RULES["bptt"], 1), tmp_path)
    assert other[0].loss != found[0][0].loss


def test_the_wiring_is_that_of_distances_on_a_torus() -> None:
    """Every probability equals the formula at the shortest way around; no cell has a synapse onto itself."""
    side, sigma = 5, 0.02
    network = Torus(side, sigma=sigma)
    found = network.probability()
    for one in range(side**2):
        for other in range(side**2):
            apart = [abs(a - b) for a, b in zip(divmod(one, side), divmod(other, side), strict=True)]
            square = sum((min(a, side - a) / side) ** 2 for a in apart)
            assert float(found[one, other]) == pytest.approx(1 / (1 + math.exp(square / (4 * sigma))), rel=1e-12)
    masks = torch.stack([network.build(2, 2, dt=1.0, seed=seed).mask_rec for seed in range(60)]).mean(0)
    assert masks.diagonal().sum() == 0
    others = 1 - torch.eye(side**2, dtype=torch.float64)
    assert float(((masks - found) * others).abs().max()) < 0.3  # 4.6 standard errors
    assert abs(float(((masks - found) * others).sum() / others.sum())) < 0.01


def test_the_network_of_the_study_is_as_described() -> None:
    """A tenth of the synapses, five of 192 readout synapses, half of the cells slow, drawn apart from the weights."""
    nets = [Torus().build(3, 3, dt=100.0, seed=seed) for seed in range(8)]
    assert all(int(net.mask_out.sum()) == 5 for net in nets)
    assert int(Torus(readout=0.1).build(3, 3, dt=100.0, seed=0).mask_out.sum()) == 19
    assert 0.07 < float(torch.stack([net.mask_rec for net in nets]).mean()) < 0.13
    for net in nets:
        assert int((net.leak > math.exp(-100 / 1000)).sum()) == 32
    slow = torch.stack([(net.leak > 0.5).double() for net in nets])
    assert torch.unique(slow, dim=0).shape[0] == len(nets)


@pytest.mark.parametrize("name", list(sparse_feedback.rules(0.03)))
def test_only_dense_feedback_and_fields_tell_cells_without_a_readout_synapse(name: str) -> None:
    """Sparse and tracked feedback reach the cells of the readout and no other; fields and dense feedback do."""
    net = Torus().build(3, 3, dt=100.0, seed=0)
    learner = tca.Learner(net, sparse_feedback.rules(0.03)[name], seed=5)
    batch = tca.Batch(
        torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[0, 1, 2, 1]] * 6),
        torch.full((6, 4), 1 / 6),
        tca.losses.CrossEntropy(),
    )
    learning_signal = learner.signal(batch).abs().sum((0, 1)) > 0
    connected = net.mask_out.sum(0) > 0
    if name in ("sparse e-prop", "symmetric, tracked"):
        assert torch.equal(learning_signal, connected)
    else:
        assert int((learning_signal & ~connected).sum()) > 10


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.1, 0.2, 0.3, 0.2, 0.2), True), ((0.1, 0.2, 0.3, 0.2), False), ((-0.2, 0.5, 0.1, 0.2, 0.0), False)],
)
def test_acceptance_needs_a_difference_beyond_its_spread(gains: tuple[float, ...], verdict: bool) -> None:
    """Paired by seed, at the sparsest feedback: better at all of five seeds is accepted, at four or at most is not."""
    at_first = (0.5, 0.6, 0.7, 0.4, 0.55)[: len(gains)]

    def runs(*accuracies: float) -> tuple[tuple[Measured, ...], ...]:
        return tuple((Measured(0, 1.0, 0.5, 1.0, 1.0), Measured(10, 0.5, each, 1.0, 1.0)) for each in accuracies)

    baseline = runs(*at_first)
    raised = runs(*(each + gain for each, gain in zip(at_first, gains, strict=True)))
    found = sparse_feedback.outcomes(
        {(0.03, "sparse e-prop"): baseline, (0.03, "diffusion"): raised, (0.1, "diffusion"): baseline},
        {0.03: baseline, 0.1: baseline},
    )
    assert found[1].accuracy.value == pytest.approx(sum(gains) / len(gains))
    assert found[1].area.value == pytest.approx(0)
    assert sparse_feedback.accepted(found) is verdict


@pytest.mark.parametrize("study", [sparse_feedback, cell_types, alignment_study], ids=lambda each: each.__name__)
def test_every_study_explains_itself(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command says where results go and what the long version is; a number of workers is checked."""
    with pytest.raises(SystemExit) as ended:
        study.main(["--help"])
    assert ended.value.code == 0
    assert {"--out", "--workers", "--full"} <= set(re.findall(r"--\w+", capsys.readouterr().out))
    with pytest.raises(SystemExit) as ended:
        study.main(["--workers=0"])
    assert ended.value.code == 2
    assert "--workers must be 1 or greater, got 0" in capsys.readouterr().err


@pytest.mark.slow
def test_diffusion_beats_sparse_eprop_where_feedback_is_sparse(tmp_path: Path) -> None:
    """At 3 % of the readout, 1000 updates, 20 seeds: the 95 % interval of the gain in accuracy is above 0."""
    assert sparse_feedback.main([f"--out={tmp_path}", "--accept"]) == 0


def tiny(case: Case) -> Case:
    """The same task with few cells, trials and updates."""
    net: Any = case.short.net
    net = net.with_options(size=5 if net.kind == "leaky_rnn" else 10)
    return replace(case, short=replace(case.short, net=net, batch_size=3, steps=6, n_train=4, n_test=4,
                                       evaluate_every=2))  # fmt: skip


def test_the_study_of_cell_types_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every case has a table and a figure, with the authors' numbers where there are some; rates are those allowed."""
    cases = [tiny(case) for case in CASES if case.key in ("evidence", "sparse")]
    assert cell_types.main([f"--out={tmp_path}", "--seeds=2"], cases) == 0
    printed = capsys.readouterr().out
    for words in ("published: bptt > mdgl > eprop\n", "bptt minus mdgl ", "mdgl minus eprop "):
        assert printed.count(words) == len(cases) == 2
    found = rows_of(tmp_path / "cell_types_evidence.csv")
    assert {each["rule"]: each["authors: accuracy"][:5] for each in found} == {
        "bptt": "0.979", "mdgl": "0.902", "eprop": "0.753", "modprop": ""}  # fmt: skip
    for case in cases:
        written(tmp_path, f"cell_types_{case.key}_learning")
        rates = {each["rule"]: float(each["rate"]) for each in rows_of(tmp_path / f"cell_types_{case.key}.csv")}
        assert tuple(rates) == tuple(case.rules)
        assert set(rates.values()) <= set(case.rates or [case.short.optimizer.lr])
    assert {each["seed"] for each in rows_of(tmp_path / "cell_types_sparse_learning.csv")} == {"0", "1"}
    assert cell_types.main([f"--out={tmp_path / 'one'}", "--cases", "evidence", "--seeds=1"], cases) == 0
    assert [each.name for each in (tmp_path / "one").glob("*.md")] == ["cell_types_evidence.md"]
    with pytest.raises(SystemExit):
        cell_types.main(["--cases", "spars"], cases)


def test_every_rule_gets_the_rate_at_which_it_does_best_on_other_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean accuracy over training decides, rule by rule; no seed that is reported takes part."""
    best = {"bptt": 2.5e-3, "mdgl": 1e-3, "mdgl_one_hop": 5e-3, "eprop": 5e-3, "modprop": 1e-3}
    seen: list[Run] = []

    def trained(runs: list[Run], folder: Path, workers: int) -> list[Learned]:
        seen.extend(runs)
        good = [run.optimizer.lr == best[str(run.rule)] for run in runs]
        scores = [(0.5, 0.9) if each else (0.6, 0.7) for each in good]  # the best at the end began worst
        return [
            Learned(run, "finished", tuple(Metrics(step, 1.0, 0.5, 1.0, each, 0.0) for step, each in enumerate(score)))
            for run, score in zip(runs, scores, strict=True)
        ]

    monkeypatch.setattr(cell_types, "learn", trained)
    case = next(each for each in CASES if each.key == "sparse")
    assert cell_types.chosen(case, tmp_path, 1) == best
    assert not {run.seeds.net for run in seen} & set(range(cell_types.FULL_SEEDS))
    assert {run.steps for run in seen} == {case.short.steps // 2}
    assert len({run.name for run in seen}) == len(seen) == len(case.rates) * len(case.rules) * len(cell_types.TUNED)
    seen.clear()
    assert set(cell_types.chosen(replace(case, rates=()), tmp_path, 1).values()) == {case.short.optimizer.lr}
    assert not seen


def test_the_shortened_version_has_the_published_periods_and_cells() -> None:
    """Step, updates, learning rate and how often is measured may differ; answers at the last step stay there."""
    for case in CASES:
        published, short = case.published, case.short
        last = {"decision": short.task_options["dt"]} if published.task_options["decision"] == 1.0 else {}
        assert {**published.task_options, "dt": short.task_options["dt"], **last} == short.task_options
        assert published.task_options["dt"] == 1.0
        names = ("task_options", "steps", "optimizer", "evaluate_every")
        assert replace(short, **{name: getattr(published, name) for name in names}) == published
        net = published.net.build(4, 2, dt=25.0, seed=0)
        assert net.types.bincount().tolist() == [0.8 * net.n_rec, 0.2 * net.n_rec]
        assert bool((net.w_rec * torch.tensor([1.0, -1.0])[net.types] >= 0).all())


def test_sparse_cells_have_a_tenth_of_the_synapses_with_weights_as_large_as_in_a_dense_network() -> None:
    """As the authors draw them: weights of a dense network of spectral radius one, of which a tenth is kept."""
    nets = {case.key: case.short.net.build(4, 2, dt=25.0, seed=1) for case in CASES}
    for name, readout in (("sparse", 20), ("sparse_recurrent", 200)):
        net = nets[name]
        assert int(net.mask_out.sum()) == readout
        assert 890 <= int(net.mask_rec.sum()) <= 1000  # autapses are left out
        scale = net.w_rec[net.mask_rec > 0].square().mean().sqrt().item()
        assert scale == pytest.approx(nets["evidence"].w_rec.square().mean().sqrt().item(), rel=0.15)


def test_with_a_sparse_readout_eprop_tells_the_cells_that_are_read_and_mdgl_those_they_hear() -> None:
    """The cells with a signal follow from the wiring alone; with all synapses every rule reaches nearly all cells."""
    runs = {case.key: every_rule.seeded(case.short, 2) for case in CASES}
    net = runs["sparse"].net.build(1, 2, dt=25.0, seed=2)
    read = net.mask_out.any(0)
    received = read | net.mask_rec[read].any(0)
    learning_signal = {}
    for rule in ("eprop", "mdgl", "modprop", "bptt"):
        learning_signal[rule], cosine = cell_types.at_the_start(replace(runs["sparse"], rule=rule))
        assert 0.5 < cosine < 0.999 or rule == "bptt"
    assert cosine == pytest.approx(1)
    assert 0.5 * float(read.double().mean()) < learning_signal["eprop"] <= float(read.double().mean()) < 0.25
    assert 0.6 < learning_signal["mdgl"] <= float(received.double().mean()) < 1
    assert learning_signal["modprop"] == learning_signal["bptt"] == 1
    dense = [cell_types.at_the_start(replace(runs["evidence"], rule=rule))[0] for rule in ("eprop", "mdgl")]
    assert min(dense) > 0.5


def test_alignment_is_compared_with_the_accuracy_over_training(tmp_path: Path) -> None:
    """Rules that point nearer to the gradient learn sooner and end lower: the correlation is one, not minus one."""
    head = ("rule", "seed", *alignment_study.COLUMNS, alignment_study.TRAINING, alignment_study.END)
    lines = [",".join(f'"{name}"' for name in head)]
    for place in range(6):
        for seed in range(5):
            value = place + seed / 10
            lines.append(
                ",".join([f"rule{place}", str(seed), *[str(value)] * (len(head) - 4), str(value), str(-value)])
            )
    path = tmp_path / "alignment_runs.csv"
    path.write_text("\n".join(lines))
    assert all(row[1].startswith("1.00 ") for row in alignment_study.tables(path)["alignment_learning"]().rows)


def test_the_study_of_alignment_runs(tmp_path: Path) -> None:
    """BPTT is aligned with itself and drops nothing; approximate rules are not, on both ways."""
    rules = ("bptt", "eprop", "rflo", "snap2", "uoro", "node_perturbation")
    assert alignment_study.main([f"--out={tmp_path}", "--seeds=2", "--rules", *rules], QUICK) == 0
    rows = rows_of(tmp_path / "alignment_runs.csv")
    assert {(each["rule"], each["seed"]) for each in rows} == {(rule, seed) for rule in rules for seed in "01"}
    for each in rows:
        for name in ("cosine, w_rec", "w_in", "b", "cosine, w_rec, way of BPTT"):
            assert (float(each[name]) == pytest.approx(1.0, abs=1e-5)) is (each["rule"] in ("bptt", "snap2")), each
        if each["rule"] in ("uoro", "node_perturbation"):
            assert not each["dropped"]
        else:
            assert (float(each["dropped"]) > 0.01) is (each["rule"] not in ("bptt", "snap2"))
    points = rows_of(tmp_path / "alignment.csv")
    for rule, seed in (("eprop", "1"), ("uoro", "0")):
        (row,) = (each for each in rows if (each["rule"], each["seed"]) == (rule, seed))
        own = [float(each["value"]) for each in points
               if (each["panel"], each["label"], each["seed"]) == (rule, "cosine, w_rec", seed)]  # fmt: skip
        assert float(row["cosine, w_rec"]) == pytest.approx(fmean(own), abs=1e-5)
    written(tmp_path, "alignment")
    made = alignment_study.tables(tmp_path / "alignment_runs.csv")
    (line,) = (each for each in made["alignment"]().rows if each[0] == "eprop")
    two = [float(each["cosine, w_rec"]) for each in rows if each["rule"] == "eprop"]
    assert line[1:3] == ("2", f"{fmean(two):.2f} ± {stdev(two):.2f}")
    x, y = ([float(each[name]) for each in rows] for name in ("cosine, w_rec", "accuracy over training"))
    assert made["alignment_learning"]().rows[0][1].startswith(f"{spearmanr(x, y).statistic:.2f} ")
    assert alignment_study.tables(tmp_path / "absent.csv") == {}


def test_series_of_the_shared_way_belong_to_the_form_of_the_rule(tmp_path: Path) -> None:
    """On the way of BPTT a rule of form B is measured in networks of form B, as often as there are seeds."""
    found = alignment_study.study(QUICK, ("eprop", "rflo"), seeds=2, folder=tmp_path, workers=1)
    shared = [each for each in found if each.label == f"{alignment_study.SHARED}: cosine/w_rec"]
    assert [(each.panel, each.seed) for each in shared] == [("eprop", 0), ("eprop", 1), ("rflo", 0), ("rflo", 1)]
    forms = {json.loads(path.read_text())["run"]["net"]["form"] for path in (tmp_path / "shared").glob("*/run.json")}
    assert forms == {"A", "B"}


def test_the_readout_alone_learns_nothing_else() -> None:
    """Weights into the network stay as they were, bit for bit; those of the readout move."""
    result = tca.train(QUICK.with_rule(every_rule.READOUT_ONLY), progress=False)
    sizes = {"dt": QUICK.make_task().dt, "seed": QUICK.seeds.net}
    before = QUICK.net.build(2, 2, **sizes)
    for name, parameter in result.net.named_parameters():
        assert torch.equal(parameter, before.get_parameter(name)) is (name in ("w_in", "w_rec", "b")), name


def test_weights_and_feedback_are_drawn_apart() -> None:
    """With one seed for everything a random feedback would repeat the draw of the input weights."""
    run = every_rule.seeded(replace(QUICK, net=NetworkConfig(size=40)), 3)
    net = run.net.build(3, 3, dt=10.0, seed=run.seeds.net)
    feedback = tca.Learner(net, tca.RULES["eprop_random"], seed=run.seeds.rule).buffers["feedback"]
    correlation = torch.corrcoef(torch.stack([feedback.flatten(), net.w_in.detach().flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.35  # 120 numbers: 3.8 standard errors


def test_work_comes_back_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    """Whichever process does it; an error of a job is raised."""
    jobs = [5.0, 1.0, 4.0]
    assert spread(math.sqrt, jobs, workers=2) == [math.sqrt(job) for job in jobs]
    with pytest.raises(ValueError, match="math domain"):
        spread(math.sqrt, [1.0, -1.0], workers=1)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        spread(math.sqrt, jobs, workers=0)
    runs = [Run("delayed_xor", net=NetworkConfig(size=4), steps=2, n_train=4, n_test=4, optimizer=Optimizer(lr=lr))
            for lr in (1e-3, 1e-2)]  # fmt: skip
    assert [each.run for each in learn(runs, tmp_path, 1)] == runs
    assert all((run.folder(tmp_path) / "result.json").exists() for run in runs)


def test_tables_are_markdown_and_csv(tmp_path: Path) -> None:
    """What is written is what is printed; means leave out what is not finite."""
    one = Table(
        ("rule", "score, mean"), (("a", mean_and_spread([1.0, math.inf, 2.0])), ("b", mean_and_spread([math.nan])))
    )
    one.write(tmp_path / "table")
    assert (tmp_path / "table.md").read_text() == f"{one}\n"
    assert rows_of(tmp_path / "table.csv") == [
        {"rule": "a", "score, mean": "1.500 ± 0.707"}, {"rule": "b", "score, mean": "-"}]  # fmt: skip
