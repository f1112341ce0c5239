"""The page and its API: HTTP for people and programs, on operations that others own."""
