"""`fieldline board ci`: a team's tests on every kind of board that its project names.

Rules: each kind is a pytest of its own, in a process of its own, as a person would start it; what it wrote is the
JUnit file that other tools read. Nothing is passed that did not run.
"""
