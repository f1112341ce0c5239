"""Stored records once more to a sink (docs/store.md 10): what is chosen, how far it is, and how it goes out."""
