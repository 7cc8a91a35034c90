"""Long runs under constant input: points of rest, cycles, and what decides between them."""
