"""The cost: how smooth it is in the parameters, and how that depends on the length of sequences."""
