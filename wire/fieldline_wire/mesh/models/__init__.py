"""Models of a Fieldline node, a file each; the numbers of their messages stand in opcodes.py."""
