"""The fleet as operators see it: labels, targets, twins, commands (docs/fleet.md)."""
