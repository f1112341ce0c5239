"""The node on a Linux computer with pins: CPython and Adafruit's Blinka."""
