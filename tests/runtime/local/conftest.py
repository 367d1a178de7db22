"""Graphs are loaded by the accelerator, and without it."""

import pytest

from fedlab.runtime import graph_loading


@pytest.fixture(params=["1", "0"], ids=["accelerated", "plain"])
def accelerator(request, monkeypatch):
    """Runs the test with the accelerator on, and once more with it off."""
    monkeypatch.setenv(graph_loading.VARIABLE, request.param)
    return request.param == "1"
