"""Lyapunov exponents: how fast neighbouring runs part or meet, and along which directions."""
