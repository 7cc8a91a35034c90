"""What theory says of a given network under a given signal, before anything is measured."""

from echoic.prediction.predict import Prediction, predict

__all__ = ["Prediction", "predict"]
