"""MQTT packets to bytes and back. Nothing here awaits, reads a clock or logs.

fields.py what all versions share; v311.py the packets of 3.1.1 and v5/ those of 5.0, one class each;
properties.py and reasons.py what only 5.0 has; levels.py which version a CONNECT speaks; reader.py bytes to
packets in any split; runs.py many packets at once.
"""
