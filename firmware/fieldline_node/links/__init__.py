"""Links to a gateway (ports.py), a file a bearer."""
