"""The command line's front door: it finds the part that was asked for and hands over."""
