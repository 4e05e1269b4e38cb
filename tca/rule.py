"""A learning rule is a learning signal and an eligibility.

Shapes: T time, B batch, N cells, I postsynaptic, J presynaptic.

The weight change is ``dW_ij = sum_t L_i,t e_ij,t``, ``L`` the learning signal and ``e`` the eligibility trace;
``tca.execution`` has the two ways to compute it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from tca.eligibilities import Eligibility
from tca.signals import Signal
from tca.utils.checks import Named, checked

__all__ = ["Rule"]


LEAKS = {"A": "potential", "B": "rate"}


@checked
@dataclass(frozen=True)
class Rule:
    """A learning rule: a learning signal and an eligibility.

    Rules are equal if these two parts are; name, summary and reference do not count.

    Args:
        signal: The learning signal ``L_t`` to every cell.
        eligibility: The eligibility trace of every synapse, ``e_t = D_t e_{t-1} + gain_t (x) pre_t``.
        summary: One line about the rule.
        reference: The paper that introduced it.
        form: The form of leak that the rule requires of its cells, see ``check_form``; default any.
        otherwise: Names of the rules that the same parts make on cells of another form, ``""`` for cells without a
            leak; default none.
        name: Name under which `tca.register_rule` has entered it, or its import path; default none, as of the rules of
            the library.

    Raises:
        ValueError: The signal requires one propagator and the eligibility has none; a perturbation eligibility meets a
            signal without rewards, or the reverse; or the two share no execution.

    >>> from tca.signals import Direct
    >>> from tca.eligibilities import Leak
    >>> Rule(Direct(), Leak())
    Rule(signal=Direct(), eligibility=Leak())
    """

    signal: Signal
    eligibility: Eligibility
    summary: str = field(default="", repr=False, compare=False)
    reference: str = field(default="", repr=False, compare=False)
    form: Annotated[str, Named(LEAKS)] | None = field(default=None, repr=False, compare=False)
    otherwise: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    name: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.signal.fitted and not self.eligibility.shared:
            raise ValueError(
                f"{type(self.signal).__name__} is made to fit the one propagator of an eligibility, and "
                f"{type(self.eligibility).__name__} has none, or one for each postsynaptic cell: use another signal"
            )
        if self.signal.needs_reward != self.eligibility.perturbs:
            signal, eligibility = type(self.signal).__name__, type(self.eligibility).__name__
            raise ValueError(
                f"{eligibility} is a perturbation eligibility and needs a scalar reward signal (RewardDifference or "
                f"RewardPredictionError), got {signal}"
                if self.eligibility.perturbs
                else f"{signal} is a scalar reward signal and needs a perturbation eligibility (NodeNoise, "
                f"WeightNoise or PhasicNoise), got {eligibility}"
            )

        if self.signal.unfilters and not self.eligibility.of_states:
            raise ValueError(
                f"{type(self.signal).__name__} is made to fit a propagator of states, and "
                f"{type(self.eligibility).__name__} has none"
            )
        if self.signal.unfilters and "reverse" not in self.eligibility.executions:
            raise ValueError(
                f"{type(self.signal).__name__} is made by filtering a signal backwards, and "
                f"{type(self.eligibility).__name__} cannot: {self.eligibility.why_not}"
            )
        if not self.executions:
            raise ValueError(
                f"{type(self.signal).__name__} runs {' or '.join(self.signal.executions)} only, and "
                f"{type(self.eligibility).__name__} runs {' or '.join(self.eligibility.executions)} only"
            )

    @property
    def title(self) -> str:
        """The name, or the parts of a rule without a name."""
        return self.name or repr(self)

    @property
    def executions(self) -> tuple[str, ...]:
        """Executions of the rule, ``"reverse"`` or ``"forward"``; the first is the default."""
        return tuple(each for each in self.eligibility.executions if each in self.signal.executions)

    @property
    def local(self) -> bool:
        """Whether neither part reads the recurrent weights of other cells."""
        return self.signal.local and self.eligibility.local

    @checked
    def check_form(self, form: Annotated[str, Named((*LEAKS, "cell"))] | None, title: str) -> None:
        """Raise unless the leak of some cells has the form that the rule requires.

        Args:
            form: Where it acts: ``"A"`` on the potential, ``"B"`` on the rate, ``"cell"`` as the cell defines, which
                rules of form A accept; ``None`` without a leak.
            title: The owner of these cells, for the message.

        Raises:
            ValueError: The rule requires another form.

        >>> from tca.rules import RULES
        >>> RULES["rflo"].check_form("B", "the network")
        >>> RULES["rflo"].check_form("A", "the network")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: this rule ... acts on the potential (form A): there its parts are the rule 'eprop_random'
        """
        if self.form in (None, form) or (form, self.form) == ("cell", "A"):
            return
        acts = (
            f"that of {title} is defined by its cell"
            if form == "cell"
            else f"that of {title} acts on the {LEAKS[form or 'A']} (form {form})"
        )
        found = acts if form else f"{title} has no leak"
        name = self.otherwise.get("A" if form == "cell" else form or "")
        raise ValueError(
            f"this rule ({self.reference or repr(self)}) needs cells whose leak acts on the {LEAKS[self.form]} "
            f"(form {self.form}), and {found}" + (f": there its parts are the rule {name!r}" if name else "")
        )

    @property
    def couples_trials(self) -> bool:
        """Whether a trial's weight change depends on the other trials of its batch, which then cannot be split."""
        return self.signal.couples_trials or self.eligibility.couples_trials

    @property
    def capturable(self) -> bool:
        """Whether updates keep their state in tensors of the device alone, which a CUDA graph can replay."""
        return self.signal.capturable and self.eligibility.capturable

    @property
    def equations(self) -> str:
        """Equations of learning signal and eligibility, in one line."""
        return f"{self.signal.equation};  {self.eligibility.equation}"
