"""What the pytest plugin `fieldline_boards.pytest` gives to tests: boards, consoles and nodes for plain functions.

Rules: a test is written once and runs on an emulated board and on a real one; what a board cannot do skips the
test, with the reason. Every wait has an end, and says what it waited for and what was seen last.
"""
