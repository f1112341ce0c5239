"""What can go wrong in Sparkplug, split by whose fault it is.

Rules: whatever a peer sends raises PayloadError or nothing; UsageError is a fault of the program that calls
or of its configuration, and its text says what to do next.
"""

from __future__ import annotations


class SparkplugError(Exception):
    """Base of all errors of this package."""


class PayloadError(SparkplugError):
    """The peer's bytes are no Sparkplug payload: drop them, count them, go on."""


class UsageError(SparkplugError):
    """The caller asked for something that Sparkplug cannot say."""
