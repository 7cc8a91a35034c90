"""The picture of the README: ``python docs/figure.py``."""

import pathlib

import jax

import echoic

ecg = echoic.data.load("ecg")
report = echoic.compare(None, ecg, horizon=250, key=jax.random.key(0), thorough=True)
print(report.save(pathlib.Path(__file__).with_name("memory_curves.svg")))
