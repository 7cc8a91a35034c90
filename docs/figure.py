"""The picture of the README: ``python docs/figure.py``."""

import pathlib

import jax

import echoic

report = echoic.compare(None, echoic.data.load("ecg"), horizon=250, key=jax.random.key(0))
print(report.save(pathlib.Path(__file__).with_name("memory_curves.svg")))
