"""Runs before main.py. Nothing is to be chosen yet: there is one firmware, and the file system holds it."""
