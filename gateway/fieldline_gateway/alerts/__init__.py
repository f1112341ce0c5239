"""Alerts: what is not as it should be, raised and cleared, and told to people once in effect (docs/alerts.md)."""
