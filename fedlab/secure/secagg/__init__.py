"""Secure aggregation by masks (Bonawitz et al. 2017)."""

from fedlab.secure.secagg.authenticity import create_signing_keys, verification_keys
from fedlab.secure.secagg.client import Client
from fedlab.secure.secagg.messages import count_bytes
from fedlab.secure.secagg.parameters import PublicParameters, default_threshold
from fedlab.secure.secagg.protocol import SecAgg, SecAggRound
from fedlab.secure.secagg.server import Server

__all__ = [
    "Client",
    "PublicParameters",
    "SecAgg",
    "SecAggRound",
    "Server",
    "count_bytes",
    "create_signing_keys",
    "default_threshold",
    "verification_keys",
]
