"""Ids of neurogym whose inputs or ground truth differ from the description of their task, found among all of them."""

import numpy as np
import pytest

import tasks
from tasks.neurogym.neurogym_environment import SupervisedEnvironment, Trial
from tasks.neurogym.neurogym_ids import CAVEATS, SUPERVISED
from tasks.seeds import generator


def drawn(name: str, trials: int, **options: object) -> list[Trial]:
    return SupervisedEnvironment(name, options).draw(trials, generator(0))


def fixation_ends_early(name: str) -> bool:
    """Whether the fixation input is off in a whole period in which the right action is always to fixate."""
    environment = SupervisedEnvironment(name, {})
    space = environment._top.unwrapped.observation_space
    if not environment.discrete or "fixation" not in (getattr(space, "name", None) or {}):
        return False
    trials = environment.draw(30, generator(0))
    for period in {each for trial in trials for each in trial.periods}:
        steps = [slice(*trial.periods[period]) for trial in trials]
        targets = np.concatenate([trial.targets[each] for trial, each in zip(trials, steps, strict=True)])
        shown = np.concatenate([trial.inputs[each, 0] for trial, each in zip(trials, steps, strict=True)])
        if len(targets) and (targets == 0).all() and (shown == 0).all():
            return True
    return False


def test_fixation_inputs_that_end_before_fixation_is_over_are_marked() -> None:
    early = {name for name in SUPERVISED if fixation_ends_early(name)}
    assert early == {name for name, caveat in CAVEATS.items() if "fixation input" in caveat}
    assert "ContextDecisionMaking-v0" in early


def test_the_context_of_the_context_task_never_ends() -> None:
    hidden = drawn("ContextDecisionMaking-v0", 50)
    assert {int(trial.info["context"]) for trial in hidden} == {0}
    assert hidden[0].inputs.shape[1] == 5
    shown = drawn("ContextDecisionMaking-v0", 50, use_expl_context=True)
    assert {int(trial.info["context"]) for trial in shown} == {0, 1}
    for trial in shown:
        assert (trial.inputs[:, 5 + trial.info["context"]] == 1).all()


@pytest.mark.parametrize(("name", "go"), [("yang19.dmc-v0", "match"), ("yang19.dnmc-v0", "non-match")])
def test_the_category_of_a_stimulus_on_the_boundary_depends_on_its_place(name: str, go: str) -> None:
    """By angle, first category below pi, all trials agree with their truth but those with a sample at pi."""
    for trial in drawn(name, 400):
        sample, test = (trial.info[each] > np.pi - 1e-9 for each in ("sample_theta", "test_theta"))
        says = "match" if sample == test else "non-match"
        on_boundary = abs(trial.info["sample_theta"] - np.pi) < 1e-9
        assert (says == trial.info["ground_truth"]) != on_boundary
        assert (trial.targets[-1] > 0) == (trial.info["ground_truth"] == go)


def test_truth_agrees_with_the_trial_where_it_says_so() -> None:
    """Answers of decisions between two directions are those of the larger sum of relevant coherences."""
    names = [name for name in SUPERVISED if name.startswith("yang19.") and "theta2" in drawn(name, 1)[0].info]
    assert len(names) == 10
    for name in names:
        mods = [mod for mod in ("1", "2") if not name.endswith(f"dm{3 - int(mod)}-v0")]
        for trial in drawn(name, 40):
            info = trial.info
            sums = [sum(info.get(f"coh{side}_mod{mod}", 0.0) for mod in mods) for side in "12"]
            if abs(sums[0] - sums[1]) > 1e-5:
                theta = info["theta1"] if sums[0] > sums[1] else info["theta2"]
                assert trial.targets[-1] == 1 + round(theta / (2 * np.pi) * 16) % 16, name


def test_the_list_of_tasks_marks_them(capsys: pytest.CaptureFixture[str]) -> None:
    from tca.__main__ import main

    assert main(("list", "tasks")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("differs from its description: the fixation input is on in the first period only") == len(
        tasks.CAVEATS
    )
