"""Secure aggregation by masks (Bonawitz et al. 2017)."""

from fedlab.secure.secagg.client import Client
from fedlab.secure.secagg.messages import PublicParameters, count_bytes
from fedlab.secure.secagg.protocol import SecAgg, SecAggRound
from fedlab.secure.secagg.server import Server

__all__ = ["Client", "PublicParameters", "SecAgg", "SecAggRound", "Server", "count_bytes"]
