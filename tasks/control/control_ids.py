"""Environments of gymnasium that are listed, so that they can be without loading gymnasium."""

from __future__ import annotations

__all__ = ["CONTROL"]

CONTROL: dict[str, str] = {
    "Acrobot-v1": "Swing up a double pendulum by the torque of its middle joint; rewards only.",
    "Ant-v4": "Walk on four legs, in MuJoCo; rewards only.",
    "CartPole-v1": "Balance a pole on a cart that is pushed left or right; rewards only.",
    "HalfCheetah-v4": "Run on two legs in a plane, in MuJoCo; rewards only.",
    "InvertedPendulum-v4": "Balance a pole on a cart by a continuous force, in MuJoCo; rewards only.",
    "MountainCar-v0": "Drive an underpowered car up a hill; rewards only.",
    "MountainCarContinuous-v0": "The same with a continuous force; rewards only.",
    "Pendulum-v1": "Swing up a pendulum by a bounded torque; rewards only.",
}
