"""A release's way through the fleet: ring by ring, stopped where it fails, and back to the last good one."""
