"""For all tests: no duration is asserted, hypothesis's own included, as machines are noisy."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fieldline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fieldline")
