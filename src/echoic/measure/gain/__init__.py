"""Gains: how much of a perturbation, or of a gradient, is left k steps later."""
