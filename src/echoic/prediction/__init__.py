"""What theory says of a given network under a given signal, before anything is measured."""

from echoic.prediction.placement import phase_map
from echoic.prediction.predict import closed_form, wide_limit
from echoic.prediction.prediction import Prediction
from echoic.prediction.unit import unit_of

__all__ = ["Prediction", "closed_form", "phase_map", "unit_of", "wide_limit"]
