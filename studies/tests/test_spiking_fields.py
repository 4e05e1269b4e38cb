"""Cosines of fields with BPTT while a spiking network learns: whose feedback and whose order of sites they use."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

import analysis
from analysis.figures.plots import save
from studies import published_spiking
from studies.spiking_fields import (
    ALIGNED,
    FIELDS,
    PREFIX,
    SHUFFLED,
    cosines,
    drawn,
    fields_claims,
    fields_table,
    series_of,
)
from studies.spiking_settings import rule
from studies.tests.test_studies_spiking import network, trials
from tca.learner import Learner


def learner_of(label: str) -> Learner:
    """A learner whose readout has moved since its feedback was drawn."""
    learner = Learner(network(), rule(label, 0.01), seed=5)
    with torch.no_grad():
        learner.net.w_out.mul_(-0.5)
    return learner


@pytest.mark.parametrize("label", FIELDS)
def test_the_own_cosine_is_that_of_the_alignment_without_the_term_of_firing_rates(label: str) -> None:
    learner = learner_of(label)
    bare = Learner(learner.net, rule(label, 0.0), seed=5)
    bare.load_state_dict({name: learner.buffers[name] for name in bare.buffers})
    known = analysis.alignment(learner.net, trials(), bare).rules[0].recurrent.cosine
    found = cosines(learner, trials())
    assert list(found) == [PREFIX + each for each in FIELDS]
    assert found[PREFIX + label] == pytest.approx(known, abs=1e-12)
    assert 0 < abs(known) < 0.999


def test_other_fields_take_the_feedback_of_the_learner_and_the_order_where_it_has_one() -> None:
    found = {label: cosines(learner_of(label), trials()) for label in FIELDS}
    for label in (ALIGNED, FIELDS[2]):  # all draw the same feedback, the readout at the start
        for trained in FIELDS:
            assert found[trained][PREFIX + label] == pytest.approx(found[label][PREFIX + label], abs=1e-12)
    orders = {trained: found[trained][PREFIX + SHUFFLED] for trained in FIELDS}
    assert orders[ALIGNED] == pytest.approx(orders[FIELDS[2]], abs=1e-12)
    assert orders[SHUFFLED] != pytest.approx(orders[ALIGNED], abs=1e-6)
    assert cosines(learner_of("BPTT"), trials()) == {}
    assert cosines(learner_of("dense random"), trials()) == {}
    assert set(published_spiking.observe(learner_of(ALIGNED), trials())) == {"rate", *found[ALIGNED]}


def test_tables_take_the_last_three_measurements_by_seed(tmp_path: Path) -> None:
    source, series = np.random.default_rng(0), []
    values = {trained: source.uniform(0.1, 0.9, (6, 5, 3)) for trained in FIELDS}  # seeds, measurements, fields
    for trained, each in values.items():
        for seed in range(6):
            observed = [{PREFIX + field: float(each[seed, step, place]) for place, field in enumerate(FIELDS)}
                        for step in range(5)]  # fmt: skip
            series += series_of(trained, seed, range(0, 50, 10), observed)
    assert series_of("BPTT", 0, [0], [{"rate": 1.0}]) == []
    save(drawn(series), series, tmp_path / "fields", "updates", "cosine")
    rows = list(csv.DictReader((tmp_path / "fields.csv").read_text().splitlines()))
    assert len(rows) == 3 * 6 * 5 * 3
    ends = {trained: each[:, -3:].mean(1) for trained, each in values.items()}
    made = {row[0]: row for row in fields_table(tmp_path / "fields.csv").rows}
    for place, trained in enumerate(FIELDS):
        mean, spread = ends[trained][:, place].mean(), ends[trained][:, place].std(ddof=1)
        assert made[trained][2 + place] == f"{mean:.3f} ± {spread:.3f}"
        assert made[trained][-1] == f"{(ends[trained].argmax(1) == place).sum()}/6"
    claims = fields_claims(tmp_path / "fields.csv").rows
    assert claims[0][3] == f"{scipy.stats.ttest_rel(ends[ALIGNED][:, 0], ends[ALIGNED][:, 1]).pvalue:.2g}"
    assert claims[1][3] == f"{scipy.stats.ttest_rel(ends[SHUFFLED][:, 1], ends[SHUFFLED][:, 0]).pvalue:.2g}"
    assert claims[3][3] == f"{scipy.stats.ttest_rel(ends[SHUFFLED][:, 1], values[SHUFFLED][:, 0, 1]).pvalue:.2g}"
