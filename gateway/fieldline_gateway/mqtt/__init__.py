"""MQTT 3.1.1 and 5.0 of the gateway: a codec without I/O, a client, and a small broker on the same codec.

Clauses in square brackets are the normative statements of the OASIS Standards: of 29 October 2014 (3.1.1), and
where 5.0 is named of 7 March 2019. A clause without letters is a section of 5.0.
"""
