"""Updates of a node: docs/update.md. Runs on MicroPython and CPython; flash, inflater and clock are ports.

Rules: whatever a peer sends raises Refused (a PeerError with a reason code) or nothing; nothing of an image is
trusted that was not read back from flash.
"""
