"""Recurrent cells, one family a file; their stacks; and how to keep what is fixed from training."""

from echoic.cells.elman import Elman
from echoic.cells.gru import GRU, ResetBeforeGRU
from echoic.cells.linear import LinearRNN
from echoic.cells.lstm import LSTM, FullPeepholeLSTM, LSTMState, PeepholeLSTM
from echoic.cells.minimal import MinimalRNN
from echoic.cells.network import Network, Readout
from echoic.cells.residual import Residual
from echoic.cells.store import Bidirectional, load, save
from echoic.core.trainable import trainable_filter

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Elman",
    "FullPeepholeLSTM",
    "LSTMState",
    "LinearRNN",
    "MinimalRNN",
    "Network",
    "PeepholeLSTM",
    "Readout",
    "ResetBeforeGRU",
    "Residual",
    "load",
    "save",
    "trainable_filter",
]
