"""Sparkplug B 3.0: an edge node without I/O, between stored records and MQTT messages.

Section numbers are those of the Eclipse Sparkplug specification 3.0.0; ids such as tck-id-payloads-nbirth-qos
are its normative statements. docs/sparkplug.md says what the node does, and what its driver has to do.
"""
