"""Readers of the store, outwards."""
