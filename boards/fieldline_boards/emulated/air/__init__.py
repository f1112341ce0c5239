"""The air between emulated nodes: SIMULATED adverts on three channels, seeded, in simulated time."""
