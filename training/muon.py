"""Muon: momentum whose matrix is made orthogonal before each step; it needs about half of Adam's steps here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al., 2024: quintic that drives singular values towards 1
_ITERATIONS = 5
_LIKE_ADAM = 0.2  # times the root of the longer side: steps of the size that Adam's have (Liu et al., 2025)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for the weights of convolutions, Adam for all others."""

    def __init__(self, network: nn.Module, rate: float, momentum: float = 0.95) -> None:
        """Takes a network's parameters.

        Args:
            network: convolutions' weights are made matrices of (channels out, the rest).
            rate: learning rate of both.
            momentum: of Muon.
        """
        groups: list[dict[str, Any]] = [
            {"params": [value for value in network.parameters() if value.dim() == 4], "orthogonal": True},
            {"params": [value for value in network.parameters() if value.dim() != 4], "orthogonal": False},
        ]
        super().__init__(groups, {"lr": rate, "momentum": momentum, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the parameters along their gradients."""
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None:
                    move = _orthogonal_move if group["orthogonal"] else _adam_move
                    value.add_(move(value.grad, self.state[value], group), alpha=-group["lr"])


def _orthogonal_move(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["mean"] = torch.zeros_like(gradient)
    state["mean"].lerp_(gradient, 1 - group["momentum"])
    ahead = gradient.lerp(state["mean"], group["momentum"]).flatten(1)
    return orthogonal(ahead).mul(_LIKE_ADAM * max(ahead.shape) ** 0.5).reshape(gradient.shape)


def _adam_move(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state |= {"count": torch.zeros(()), "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    first, second = group["betas"]
    state["count"] += 1
    state["mean"].lerp_(gradient, 1 - first)
    state["square"].lerp_(gradient.square(), 1 - second)
    count = float(state["count"])
    spread = (state["square"] / (1 - second**count)).sqrt().add(1e-8)
    return state["mean"] / (1 - first**count) / spread


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: singular values of about 0.7 to 1.2, float (rows, columns)."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    found = wide / (wide.norm() + 1e-7)
    first, third, fifth = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        square = found @ found.t()
        found = first * found + (third * square + fifth * square @ square) @ found
    return found if matrix.shape[0] <= matrix.shape[1] else found.t()
