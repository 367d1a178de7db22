"""What a user passes is checked: nothing wrong is accepted, and each error names it.

A public function is a function or class without an underscore that is in `__all__` of one of `ROOMS`
or defined in one of `MODULES`, which the lessons import. Each is called in a table of
`helpers.border`, or named in `NOT_CALLED` with a reason.
"""

import importlib
import inspect
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from helpers.border.attacks import ATTACK_CALLS
from helpers.border.data import DATA_CALLS
from helpers.border.experiments import EXPERIMENT_CALLS
from helpers.border.learning import (
    EVALUATION_CALLS,
    LEARNING_CALLS,
    MODEL_CALLS,
    TRAINING_CALLS,
)
from helpers.border.pictures import PLOT_CALLS, STATISTICS_CALLS
from helpers.border.privacy import DP_CALLS, RUNTIME_CALLS, SECURE_CALLS
from helpers.border.texts import LANGUAGE_CALLS, TEXT_ATTACK_CALLS, TEXT_CALLS
from helpers.border.trying import attempt, bad_values, good_calls, time_limit

from fedlab.data import registry

CALLS = (
    *(*DATA_CALLS, *MODEL_CALLS, *LEARNING_CALLS, *EVALUATION_CALLS, *TRAINING_CALLS),
    *(*DP_CALLS, *ATTACK_CALLS, *SECURE_CALLS, *RUNTIME_CALLS, *EXPERIMENT_CALLS),
    *(*PLOT_CALLS, *STATISTICS_CALLS),
    *(*TEXT_CALLS, *LANGUAGE_CALLS, *TEXT_ATTACK_CALLS),
)
LEAST_BAD_INPUTS = 2000
ROOMS = "data models learning statistics training plots".split()
MODULES = """data.sampling data.consent data.partition data.preprocessing data.augmentation data.handwriting
    learning.aggregators
    learning.schedules learning.personalization evaluation dp.accounting dp.audit dp.canaries
    dp.mechanisms
    dp.delta_cost dp.ledger dp.privacy_plan attacks.inversion attacks.membership
    attacks.model_inversion attacks.poisoning attacks.text_inversion attacks.extraction
    attacks.image_similarity plots.diagrams experiments.config experiments.article
    experiments.privacy_law experiments.privacy_record.record
    experiments.privacy_record.statements
    runtime.compilation runtime.context""".split()
NOT_CALLED = {
    "called by TensorFlow or by Preprocessing with tensors": "mirror brightness affine shift "
    "mirror_and_brightness",
    "hold results": "ExportRoute PrivacyRecord InvertedClasses Examples Secret Exposure Interval "
    "AttackResult CanaryState TrainingRun Run",
    "errors": "DivergedError TrainingInterrupted KerasFunctionalModelError",
    "have no parameters": "load_byte_pairs create_loss restore_eager_keras median names selected use_style Callback "
    "ProgressBar architecture secure_aggregation",
    "checked when it is registered": "DatasetEntry",
    "a dictionary of options": "ClientOptions",
    "read files, which tests/data damages": "load_emnist load_sqlite load_writer_digits",
    "opens a folder, which tests/training damages": "Checkpoint",
    "called by TFF's builders": "leave_out_metrics",
    "called with tensors": "apply_lstm apply_transformer",
    "need a trained model, as tests/attacks has it": "expose extract recites count_recited",
    "for this package alone": "deal_by_mix LocalContext notice fixed_name adaptive_name round_event "
    "create_accountant rough_epsilon check_run",
}


def public_functions():
    for name in (*ROOMS, *MODULES):
        module = importlib.import_module(f"fedlab.{name}")
        for each, value in vars(module).items():
            is_own = name in MODULES and getattr(value, "__module__", "") == module.__name__
            is_public = is_own and not each.startswith("_")
            if (
                (is_public or each in getattr(module, "__all__", ())) and inspect.isroutine(value)
            ) or ((is_public or each in getattr(module, "__all__", ())) and inspect.isclass(value)):
                yield each, value


@pytest.fixture(autouse=True)
def clean_up():
    yield
    plt.close("all")
    registry._ENTRIES.pop("table", None)


def test_each_public_function_is_called_with_each_of_its_parameters():
    excused = " ".join(NOT_CALLED.values()).split()
    called = {call.function: call.parameters.keys() for call in CALLS}
    for name, function in public_functions():
        if name in excused:
            continue
        assert function in called, name
        parameters = inspect.signature(function).parameters.values()
        expected = {each.name for each in parameters if each.kind not in (2, 4)}  # no *args
        assert expected <= called[function], name


def test_there_are_enough_wrong_values():
    kinds = [kind for call in CALLS for _, kind in call.parameters.values() if kind]
    assert sum(len(kind.bad) for kind in kinds) >= LEAST_BAD_INPUTS


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.label)
def test_wrong_values_are_refused_and_named(call):
    wrong = []
    for name, (_, kind) in call.parameters.items():
        for value in bad_values(kind) if kind else ():
            outcome, text = attempt(call, name, value)
            if outcome != "clear":
                wrong.append((outcome, name, value, text))
    assert wrong == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.label)
def test_right_values_are_taken_in_each_form(call):
    for change in good_calls(call):
        registry._ENTRIES.pop("table", None)
        with time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.function(**call.good | change)
        plt.close("all")
