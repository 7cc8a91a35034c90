"""From a wanted horizon to the network that reaches it."""

from echoic.prescription.design import design
from echoic.prescription.prescription import Prescription
from echoic.prescription.recipe import Recipe
from echoic.prescription.statistics import InputStatistics, input_statistics

__all__ = ["InputStatistics", "Prescription", "Recipe", "design", "input_statistics"]
