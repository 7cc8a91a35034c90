"""What theory says of a given network under a given signal, before anything is measured."""

from echoic.prediction.predict import closed_form, wide_limit
from echoic.prediction.prediction import Prediction

__all__ = ["Prediction", "closed_form", "wide_limit"]
