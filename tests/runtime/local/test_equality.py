"""The local runtime gives what TFF's own gives, algorithm by algorithm."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.tff_processes import (
    FUNCTIONAL,
    NUM_CLIENTS,
    VARIABLE,
    add,
    algorithms,
    assert_close,
    assert_same_kind,
    fed_avg,
    fed_prox,
    learning,
    sgd,
    unweighted,
    without_noise,
)

from fedlab import runtime
from fedlab.data.preprocessing import INPUT_SPEC
from fedlab.learning import aggregators, build_fed_adam
from fedlab.models import create_loss
from fedlab.runtime import graph_loading
from fedlab.runtime.local.local_runner import FormRunner

adam = functools.partial(learning.optimizers.build_adam, 0.01)


def mime_lite():
    return algorithms.build_weighted_mime_lite(FUNCTIONAL, sgd(momentum=0.9), add())


def mime_lite_with_schedule():
    return algorithms.build_mime_lite_with_optimizer_schedule(VARIABLE, decay, sgd(momentum=0.9))


def fed_avg_with_schedule():
    return algorithms.build_weighted_fed_avg_with_optimizer_schedule(
        VARIABLE, decay, learning.optimizers.build_sgdm, server_optimizer_fn=add()
    )


def decay(round_num):
    return 0.1 / tf.cast(round_num + 1, tf.float32)


def reconstruction(build_fn=algorithms.build_fed_recon, **options):
    def create_parts():
        model = tiny.create_model()
        return learning.models.ReconstructionModel.from_keras_model_and_layers(
            keras_model=model, global_layers=model.layers, local_layers=[], input_spec=INPUT_SPEC
        )

    return build_fn(create_parts, loss_fn=create_loss, reconstruction_optimizer_fn=sgd(), **options)


@functools.cache
def build(name):
    return PROCESSES[name]()


def record_specs():
    return tuple(tf.TensorSpec(one.shape, one.dtype) for one in FUNCTIONAL.initial_weights[0])


PROCESSES = {
    "FedAvg": fed_avg,
    "FedAvg, a VariableModel": lambda: fed_avg(VARIABLE),
    "FedAvg, unweighted": unweighted,
    "FedAvg, a schedule": fed_avg_with_schedule,
    "FedAvg, momentum": lambda: fed_avg(server=lambda: add(momentum=0.9)),
    "FedAdam": lambda: fed_avg(server=adam),
    "Adam at the clients": lambda: fed_avg(client=adam),
    "FedProx": fed_prox,
    "FedProx at the clients, FedAdam at the server": lambda: build_fed_adam(
        FUNCTIONAL, client_optimizer="adam", client_learning_rate=0.01, mu=0.1
    ),
    "FedSGD": lambda: algorithms.build_fed_sgd(FUNCTIONAL, server_optimizer_fn=sgd()),
    "FedSGD, a VariableModel": lambda: algorithms.build_fed_sgd(
        VARIABLE, server_optimizer_fn=sgd()
    ),
    "Mime Lite": mime_lite,
    "Mime Lite, a schedule": mime_lite_with_schedule,
    "FedRecon": lambda: reconstruction(client_optimizer_fn=sgd(), server_optimizer_fn=add()),
    "clipping and zeroing": lambda: fed_avg(aggregator=learning.robust_aggregator),
    "compression": lambda: fed_avg(aggregator=learning.compression_aggregator),
    "quantization": lambda: fed_avg(aggregator=lambda: aggregators.quantization(4, min_size=5)),
    "DP": lambda: unweighted(lambda: learning.dp_aggregator(0.0, NUM_CLIENTS)),
    "DP, a fixed clip": lambda: unweighted(without_noise("gaussian_fixed", clip=0.1)),
    "DP-FTRL": lambda: unweighted(
        without_noise("tree_aggregation", l2_norm_clip=0.1, record_specs=record_specs())
    ),
    "evaluation": lambda: algorithms.build_fed_eval(FUNCTIONAL),
    "evaluation, a VariableModel": lambda: algorithms.build_fed_eval(VARIABLE),
    "evaluation of FedRecon": lambda: reconstruction(algorithms.build_fed_recon_eval),
}


def run(runners, state, num_rounds=3):
    """One round after the other, each by the next runner."""
    for round_num in range(1, num_rounds + 1):
        runner = runners[round_num % len(runners)]
        output = runner.next(state, tiny.create_cohort(round_num=round_num))
        state = output.state
    return output


@pytest.mark.parametrize("name", PROCESSES)
def test_three_rounds_give_what_tff_s_own_runtime_gives(name, monkeypatch):
    process = build(name)
    local, native = runtime.compile(process), runtime.compile(process, "tff")
    assert type(local) is FormRunner
    monkeypatch.setenv(graph_loading.VARIABLE, "0")
    plain = runtime.compile(process)
    # One state for all: compression draws its seed from the clock, when the state is made.
    state = local.initialize()
    assert_same_kind(state, native.initialize())
    output, expected = run([local], state), run([native], state)
    assert_same_kind(output, expected)
    assert_close(output, expected, 1e-4 if "Ada" in name else 1e-6)
    assert tiny.same_bits(run([plain], state), output)
    weights, before = local.get_model_weights(output.state), local.get_model_weights(state)
    assert_same_kind(weights, native.get_model_weights(expected.state))
    assert tiny.same_bits(weights, before) == name.startswith("evaluation")


@pytest.mark.parametrize("name", ["FedAdam", "clipping and zeroing", "Mime Lite, a schedule"])
def test_a_state_goes_on_in_the_other_runtime(name):
    process = build(name)
    ours, theirs = runtime.compile(process), runtime.compile(process, "tff")
    state = theirs.initialize()
    alone = run([theirs], state, 4)
    for runners in ([ours, theirs], [theirs, ours]):
        in_turn = run(runners, state, 4)
        assert_same_kind(in_turn, alone)
        assert_close(in_turn, alone, 1e-4)


def test_real_noise_is_of_the_size_asked_for():
    noise_multiplier, clip = 50.0, 0.1
    dp = tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
        noise_multiplier, NUM_CLIENTS, clip
    )
    runner = runtime.compile(unweighted(lambda: dp))
    state = runner.initialize()
    before = runner.get_model_weights(state).trainable[0]
    after = [runner.get_model_weights(run([runner], state, 1).state).trainable[0] for _ in range(2)]
    assert not np.array_equal(*after)
    expected = noise_multiplier * clip / NUM_CLIENTS
    assert np.std(after[0] - before) == pytest.approx(expected, rel=0.05)  # of 7,840 numbers


def test_a_client_without_examples_counts_for_nothing():
    runner = runtime.compile(fed_avg())
    cohort = tiny.create_cohort()
    without = {name: batches for name, batches in cohort.items() if name != "c1"}
    state = runner.initialize()
    found = runner.next(state, cohort | {"c1": cohort["c1"].take(0)})
    assert tiny.same_bits(found, runner.next(state, without))


def test_a_runner_is_a_process_s_own_face():
    process = fed_avg()
    runtime.install("tff")
    for name in ("local", "tff"):
        with runtime.compile(process, name) as runner:
            state = runner.initialize()
            assert tiny.same_bits(state, process.initialize())
            assert tiny.same_bits(runner.get_hparams(state), process.get_hparams(state))
            weights = tf.nest.map_structure(lambda one: one + 1, runner.get_model_weights(state))
            state = runner.set_model_weights(state, weights)
            assert_same_kind(state, process.set_model_weights(state, weights))
            assert tiny.same_bits(runner.get_model_weights(state), weights)
            output = runner.next(state, tiny.create_cohort(3).values())
            assert output.metrics["client_work"]["train"]["num_examples"] == 3


def test_a_computation_is_never_taken_for_another_that_is_gone(process):
    with runtime.compile(process) as runner:
        for number in range(20):  # each may get the id of the one before
            constant = tff.tensorflow.computation(lambda: tf.constant(number))  # noqa: B023
            assert runner.call(constant) == number
            del constant
