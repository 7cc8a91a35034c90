"""Measurements: functions of a cell, or of any step function, and its inputs."""
