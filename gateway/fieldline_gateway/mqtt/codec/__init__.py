"""MQTT packets to bytes and back. Nothing here awaits, reads a clock or logs.

fields.py what all versions share; v311.py the packets of 3.1.1, one class each; reader.py bytes to packets in
any split; runs.py many packets at once. Another version is a module beside v311.py with a DECODERS of its
own.
"""
