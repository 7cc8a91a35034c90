"""One network or several under the user's signal: measured, predicted, judged, recorded."""

from echoic.core.horizon import Thresholds
from echoic.diagnosis.assemble import Progress
from echoic.diagnosis.candidates import CANDIDATES, Candidate, select
from echoic.diagnosis.designs import Designed, design_report
from echoic.diagnosis.report import Report

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Designed",
    "Progress",
    "Report",
    "Thresholds",
    "design_report",
    "select",
]
