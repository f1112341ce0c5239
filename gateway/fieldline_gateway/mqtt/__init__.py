"""MQTT 3.1.1 of the gateway: a codec without I/O, a client, and a small broker on the same codec.

Clauses in square brackets are the normative statements of the OASIS Standard of 29 October 2014.
"""
