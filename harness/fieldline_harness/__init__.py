"""The bench: the demo and the project's own measurements. It may see every part; no part sees it."""
