"""Ids of neurogym whose inputs, truth or rewards differ from the description of their task, found among all of them."""

import numpy as np
import pytest

import tasks
from tasks.neurogym.neurogym_environment import SupervisedEnvironment, Trial
from tasks.neurogym.neurogym_ids import CAVEATS, SUPERVISED
from tasks.neurogym.neurogym_rewards import reward_environments
from tasks.seeds import generator


def drawn(name: str, trials: int, **options: object) -> list[Trial]:
    return SupervisedEnvironment(name, options).draw(trials, generator(0))


def fixation_in_a_period(name: str, acts: bool) -> bool:
    """Whether there is a period with the fixation input on and the right action never to fixate, or off and always."""
    environment = SupervisedEnvironment(name, {})
    space = environment._top.unwrapped.observation_space
    if not environment.discrete or "fixation" not in (getattr(space, "name", None) or {}):
        return False
    trials = environment.draw(30, generator(0))
    for period in {each for trial in trials for each in trial.periods}:
        steps = [slice(*trial.periods[period]) for trial in trials]
        targets = np.concatenate([trial.targets[each] for trial, each in zip(trials, steps, strict=True)])
        shown = np.concatenate([trial.inputs[each, 0] for trial, each in zip(trials, steps, strict=True)])
        if len(targets) and ((targets != 0) == acts).all() and ((shown > 0.5) == acts).all():
            return True
    return False


def test_fixation_inputs_that_end_before_fixation_is_over_are_marked() -> None:
    early = {name for name in SUPERVISED if fixation_in_a_period(name, acts=False)}
    assert early == {name for name, caveat in CAVEATS.items() if "fixation input is on in the first period" in caveat}
    assert "ContextDecisionMaking-v0" in early


def test_fixation_inputs_that_stay_on_are_marked() -> None:
    late = {name for name in SUPERVISED if fixation_in_a_period(name, acts=True)}
    assert late == {name for name, caveat in CAVEATS.items() if "fixation input stays on" in caveat}


def test_options_without_effect_are_marked() -> None:
    deaf = set()
    for name in SUPERVISED:
        try:
            silent, noisy = drawn(name, 5, sigma=0.0), drawn(name, 5, sigma=3.0)
        except ValueError:
            continue  # it has no such option
        if all(one.same(other) for one, other in zip(silent, noisy, strict=True)):
            deaf.add(name)
    assert deaf == {name for name, caveat in CAVEATS.items() if "sigma adds no noise" in caveat}


def mean_reward(name: str, later: int = 0, trials: int = 40) -> float:
    """Return the mean reward of a trial to right actions, or to those of so many steps later."""
    (environment,) = reward_environments(name, 1)
    environment.reset()
    total, ended = 0.0, 0
    while ended < trials:
        bare = environment.unwrapped
        _, reward, _, _, info = environment.step(bare.gt[min(bare.t_ind + later, len(bare.gt) - 1)])
        total, ended = total + reward, ended + info["new_trial"]
    return total / trials


def test_right_actions_that_are_not_paid_are_marked() -> None:
    unpaid = {name for name in SUPERVISED if mean_reward(name) <= 0}
    assert unpaid == {
        name for name, caveat in CAVEATS.items() if "rewards contradict" in caveat or "no rewards" in caveat
    }


def test_answers_of_a_wager_are_paid_beside_the_truth() -> None:
    (environment,) = reward_environments("PostDecisionWager-v0", 1)
    environment.reset()
    for truth, action, paid in ((1, 1, 0), (1, 2, 0), (2, 1, 1), (2, 2, 0)):
        environment.new_trial(wager=False, ground_truth=truth - 1)
        assert environment.gt[-1] == truth
        environment.t_ind, environment.t = len(environment.gt) - 1, environment.start_t["decision"]
        assert environment._step(action)[1] == paid


def test_ready_set_go_is_late_by_a_signal() -> None:
    for trial in drawn("ReadySetGo-v0", 20):
        right, (begin, end) = int(trial.targets.argmax()), trial.periods["set"]
        measured = begin - trial.periods["ready"][0]  # from onset to onset
        assert right - end == measured
        assert right - begin == measured + 1
    assert mean_reward("ReadySetGo-v0", later=1) > 0.99 > 0.8 > mean_reward("ReadySetGo-v0")


def test_the_delay_of_hierarchical_reasoning_is_not_the_interval_that_is_judged() -> None:
    trials = drawn("HierarchicalReasoning-v0", 600)
    shown, judged = (np.array([trial.info[name] for trial in trials], float) for name in ("delay", "interval"))
    assert abs(np.corrcoef(shown, judged)[0, 1]) < 4 / np.sqrt(len(trials))
    assert [trial.info["long_interval"] for trial in trials] == (judged > 610).tolist()
    delays = SupervisedEnvironment("HierarchicalReasoning-v0", {})._top.unwrapped.timing["delay"]
    assert (np.median(delays), delays[1]) == (850, 610)


@pytest.mark.thirds
@pytest.mark.parametrize(("ring", "seen"), [(2, False), (3, True), (8, True)])
def test_categories_are_not_in_two_cosines(ring: int, seen: bool) -> None:
    """Without noise, the input that is most different between categories: quantiles of 2,000 trials."""
    trials = drawn("DelayMatchCategory-v0", 2000, sigma=0.0, dim_ring=ring)
    inputs = np.array([trial.inputs[trial.periods["sample"][0], 1:] for trial in trials])
    first = np.array([trial.info["sample_category"] == 0 for trial in trials])
    levels = np.linspace(0, 1, 11)
    apart = np.abs(np.quantile(inputs[first], levels, 0) - np.quantile(inputs[~first], levels, 0)).max()
    assert apart > 0.3 if seen else apart < 0.1


def test_equally_long_stimuli_have_an_answer() -> None:
    trials = drawn("IntervalDiscrimination-v0", 1000)
    equal = [trial.info["ground_truth"] for trial in trials if trial.info["stim1"] == trial.info["stim2"]]
    assert set(equal) == {2}
    assert 0.2 < len(equal) / len(trials) < 0.3


def test_the_signal_of_motor_timing_is_lost_at_the_default_step() -> None:
    assert not any(trial.inputs[:, 3].any() for trial in drawn("MotorTiming-v0", 20))
    assert all(trial.inputs[:, 3].any() for trial in drawn("MotorTiming-v0", 20, dt=50))
    assert max(trial.targets.max() for trial in drawn("MotorTiming-v0", 20)) == 1


def test_modalities_agree_shapes_stay_and_probabilities_are_negative() -> None:
    for trial in drawn("MultiSensoryIntegration-v0", 100, sigma=0.0):
        first, second = (trial.inputs[3, [at, at + 1]] for at in (1, 3))
        assert np.argmax(first) == np.argmax(second)
    for trial in drawn("ProbabilisticReasoning-v0", 10):
        for number in range(4):
            begin, end = trial.periods[f"stimulus{number}"]
            assert (trial.inputs[begin:end, 1:].sum(1) == number + 1).all()
            assert begin == trial.periods[f"stimulus{number - 1}" if number else "fixation"][1]
    lowest = min(trial.targets.min() for trial in drawn("SpatialSuppressMotion-v0", 20))
    assert lowest == pytest.approx(-0.015, abs=1e-6)


def test_reaction_times_are_lost() -> None:
    pairs = zip(
        drawn("perceptualdecisionmaking.roitman02-v0", 20), drawn("PerceptualDecisionMaking-v0", 20), strict=True
    )
    assert all(one.same(other) for one, other in pairs)


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

    assert set(CAVEATS) <= set(SUPERVISED)
    assert main(("list", "tasks")) == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, caveat in tasks.CAVEATS.items():
        assert f"{name} {SUPERVISED[name]} differs from its description: {caveat}" in said
    assert said.count("differs from its description") == len(CAVEATS)
