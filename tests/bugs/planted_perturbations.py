"""Bugs of rules that draw or try things out, and of learning from rewards."""

from __future__ import annotations

from tests.bugs.bug import Bug

NETWORKS = "tests/tca/signals/perturbation/test_networks.py"
REWARDS = "tests/tca/experiments/reinforcement/test_reward_runs.py"
DRAWN = (f"{NETWORKS}::test_a_draw_in_a_stack_equals_the_equations",)

NETWORK, LAYERED, MOVED = (
    "tca/nets/network.py",
    "tca/nets/feedforward/layered_network.py",
    "tca/eligibilities/deviations.py",
)
TRAINED = "tca/experiments/reinforcement/episodes.py"

BUGS = [
    Bug(NETWORK, "private noise not repeated", "added if noise is None else noise + added", "added", DRAWN),
    Bug(
        NETWORK,
        "populations given each other's noise",
        "extra[population.name] for population in reversed(self.populations())",
        "extra[population.name] for population in self.populations()",
        DRAWN,
    ),
    Bug(
        LAYERED,
        "layers without their perturbation",
        "driven + extra",
        "driven",
        (f"{NETWORKS}::test_the_error_of_node_perturbation_is_of_second_order",),
    ),
    Bug(
        MOVED,
        "own noise not counted",
        "size * xi[one.population.name] + _difference(one, other)",
        "_difference(one, other)",
        DRAWN,
    ),
    Bug(MOVED, "steps not counted", "count * noisy.to_go(0)", "count * 1", DRAWN),
    Bug(
        "tca/eligibilities/kernel.py",
        "kernels let into stacks",
        "if not population.alone:",
        "if False:",
        (f"{NETWORKS}::test_what_does_not_compose_is_refused",),
    ),
    Bug(
        TRAINED,
        "other noise learned from than acted with",
        "net.noise_state.copy_(noise_state)",
        "pass",
        (f"{REWARDS}::test_what_was_done_is_what_is_learned_from",),
    ),
    Bug(
        TRAINED,
        "the same trials over and over",
        "_seed(seeds.data, block)",
        "_seed(seeds.data, 0)",
        (f"{REWARDS}::test_environments_begin_anew_with_other_trials",),
    ),
    Bug(
        "tca/eligibilities/kronecker.py",
        "factors balanced the wrong way",
        "p1 = balance(length(torch.stack(products, 1)), everywhere)",
        "p1 = balance(everywhere, length(torch.stack(products, 1)))",
        ("tests/tca/rules/test_stochastic_facts.py",),
    ),
]
