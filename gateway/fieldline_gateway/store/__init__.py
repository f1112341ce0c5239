"""The log that every reading goes through: appended, on disk, then acknowledged (docs/store.md)."""
