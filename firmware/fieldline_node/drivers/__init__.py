"""What the node asks of its machine (ports.py), a package an interpreter."""
