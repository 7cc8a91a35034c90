"""What the papers claim about learning, run at a size that two cores manage in minutes.

``python -m benchmarks learning [EXPERIMENT ...]`` runs what is not in the store yet and prints the
tables: an interrupted run goes on where it stopped. The thresholds are those of small
re-implementations, not of the papers; what does not hold is printed as such.
"""

from benchmarks.learning.table import main

__all__ = ["main"]
