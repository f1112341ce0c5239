"""Errors of boards, by whose fault they are."""


class BoardError(Exception):
    """A board, real or emulated, cannot do what was asked; the text says what to do."""
