"""Only the optimizer's log lines are kept off the screen, and only where nobody has set a level."""

import os

import pytest

from fedlab.runtime.local.compiler_log import without_optimizer_log

NOISE = "2026-11-26 19:58:24.340304: I tensorflow/core/grappler/devices.cc:75] Number of GPUs: 0\n"
OTHER = "2026-11-26 19:58:24.340304: W tensorflow/core/framework/op_kernel.cc:1] bad\nTraceback\n"


def write_both():
    with without_optimizer_log():
        os.write(2, (NOISE + OTHER + NOISE).encode())


def test_other_lines_are_printed(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    write_both()
    assert capfd.readouterr().err == OTHER


def test_an_error_within_is_raised_and_the_screen_is_back(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with pytest.raises(KeyError), without_optimizer_log():
        raise KeyError
    os.write(2, b"later")
    assert capfd.readouterr().err == "later"


def test_a_level_that_is_set_is_left_to_tensorflow(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    write_both()
    assert capfd.readouterr().err == NOISE + OTHER + NOISE
