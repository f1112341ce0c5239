"""Simulated fans: what a tachometer of a fan in service would show.

Rules: pure functions of time, seeded, so that a run can be repeated. Speeds are rpm, times are seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

SPIN_UP_S = 3.0  # time constant of a 120 mm fan's spin-up
RIPPLE_PERIOD_S = 7.0  # the controller hunting around its set point
NOISE_STEP_S = 0.5  # turbulence changes no faster than this


@dataclass(frozen=True, slots=True)
class Fan:
    """One fan: nominal speed in rpm, ripple as a share of it, and what is wrong with it."""

    name: str
    character: str
    nominal_rpm: float
    ripple: float = 0.01
    ageing_per_min: float = 0.0
    """Share of the speed lost each minute; ripple grows with it."""
    stall_every_s: float = 0.0
    stall_s: float = 0.0
    seed: int = 0

    def rpm(self, t: float) -> float:
        """Speed at `t` seconds after it was switched on; 0 while it is stalled."""
        running = t
        if self.stall_every_s:
            period = self.stall_every_s + self.stall_s
            phase = t % period
            if phase >= self.stall_every_s:
                return 0.0
            running = phase  # it spins up again after each stall
        loss = min(0.6, self.ageing_per_min * t / 60)
        speed = self.nominal_rpm * (1 - math.exp(-running / SPIN_UP_S)) * (1 - loss)
        wobble = math.sin(2 * math.pi * t / RIPPLE_PERIOD_S) + self._noise(t)
        return max(0.0, speed * (1 + self.ripple * (1 + 6 * loss) * wobble))

    def _noise(self, t: float) -> float:
        """Turbulence, -1 to 1: a seeded value each half second, joined by straight lines."""
        step, part = divmod(t / NOISE_STEP_S, 1.0)
        a, b = (Random(f"{self.seed}:{int(step) + k}").uniform(-1, 1) for k in (0, 1))
        return a + (b - a) * part


# The rejection time of the sources (10 ms) ends at 3,000 rpm with two pulses a turn: all stay below.
FANS = (
    Fan("fan-1", "new", 1800, ripple=0.005, seed=1),
    Fan("fan-2", "ripples", 2400, ripple=0.04, seed=2),
    Fan("fan-3", "ages", 2100, ripple=0.015, ageing_per_min=0.05, seed=3),
    Fan("fan-4", "stalls", 1500, ripple=0.01, stall_every_s=40, stall_s=8, seed=4),
)
