"""Bearers, inwards."""
