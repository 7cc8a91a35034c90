"""What is asked of every network alike."""

import dataclasses

from echoic.core.horizon import Thresholds
from echoic.diagnosis.effort import Effort


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked of every network alike."""

    horizon: int
    max_lag: int
    thresholds: Thresholds
    effort: Effort
    whole_period: int | None = None
    white_input: bool = False
