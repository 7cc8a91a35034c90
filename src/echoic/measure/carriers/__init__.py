"""What carries the memory: directions, units, modes and channels, and what a readout sees of it."""
