"""Which algorithms can be cut into the server's and the clients' parts, and what the parts are."""

import collections
import functools
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.tff_processes import VARIABLE, build_two_phases, fed_avg, unweighted
from tensorflow_federated.python.core.backends.mapreduce.compiler import (
    MapReduceFormCompilationError,
)

from fedlab import runtime
from fedlab.runtime.graph_loading.disk_cache import FOLDER_VARIABLE
from fedlab.runtime.local.local_runner import FormRunner
from fedlab.runtime.native.native_runner import NativeRunner

learning = tff.learning
PIECES = ("prepare", "work", "zero", "accumulate", "merge", "report", "update")
SECURE = {"zeroing": False, "clipping": False}


@functools.cache
def form():
    return runtime.cut(fed_avg())


def build_k_means():
    return learning.algorithms.build_fed_kmeans(2, (3,), random_seed=(1, 2))


def build_personalization():
    @tf.function
    def evaluate(model, *data):
        return collections.OrderedDict(loss=tf.constant(1.0))

    return learning.algorithms.build_personalization_eval_computation(
        VARIABLE, collections.OrderedDict(tuned=lambda: evaluate), evaluate
    )


# All that other tests run has a form: TFF's builders, k-means and a secure aggregator. So have these.


@pytest.mark.parametrize(
    "build_fn",
    [
        lambda: fed_avg(server=lambda: learning.optimizers.build_yogi(0.01)),
        lambda: fed_avg(server=lambda: learning.optimizers.build_adagrad(0.01)),
    ],
)
def test_these_have_a_form(build_fn):
    assert isinstance(runtime.cut(build_fn()), runtime.Form)


@pytest.mark.parametrize("build_fn", [build_two_phases, build_personalization])
def test_these_have_none(build_fn):
    with pytest.raises(runtime.NoFormError):
        runtime.cut(build_fn())


def test_a_process_without_form_gets_tff_s_own_runtime_and_one_line_of_notice():
    process = build_two_phases()
    with pytest.warns(UserWarning, match="no MapReduceForm: it runs on TFF's own") as told:
        runner = runtime.compile(process)
    assert len(told) == 1
    assert isinstance(runner, NativeRunner)
    found = runner.next(runner.initialize(), tiny.create_cohort())
    once = runtime.compile(fed_avg())
    expected = once.next(once.initialize(), tiny.create_cohort())
    expected = once.next(expected.state, tiny.create_cohort())
    for ours, theirs in zip(
        runner.get_model_weights(found.state).trainable,
        once.get_model_weights(expected.state).trainable,
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", [TypeError, NotImplementedError, MapReduceFormCompilationError])
def test_whatever_stops_the_compiler_is_told(kind, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # nothing is cut yet

    def refuse(*args, **options):
        raise kind("too deep")

    monkeypatch.setattr(tff.backends.mapreduce, "get_map_reduce_form_for_computation", refuse)
    with pytest.raises(runtime.NoFormError, match=f"{kind.__name__}: too deep"):
        runtime.cut(fed_avg())


@pytest.mark.parametrize(
    "build_fn",
    [
        tiny.build_process,
        fed_avg.__wrapped__,
        lambda: fed_avg.__wrapped__(aggregator=tff.learning.secure_aggregator),
    ],
)
def test_what_was_cut_is_not_cut_again_for_another_build(build_fn, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # nothing is cut yet
    expected = runtime.cut(build_fn())
    tiny.build_process(weighted=False)  # TensorFlow counts on
    again = build_fn()

    def never(*args, **options):
        raise AssertionError("This was cut before.")

    monkeypatch.setattr(tff.backends.mapreduce, "get_map_reduce_form_for_computation", never)
    assert runtime.cut(again).work.graph == expected.work.graph
    with pytest.raises(runtime.NoFormError, match="was cut before"):
        runtime.cut(tiny.build_process(client_learning_rate=0.123))


def test_what_is_no_computation_has_no_form():
    with pytest.raises(runtime.NoFormError):
        runtime.cut(lambda state: state)


def test_a_form_comes_without_notice():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        runtime.compile(fed_avg())


def test_k_means_gives_what_tff_s_own_runtime_gives():
    process = build_k_means()
    rng = np.random.default_rng(1)
    points = [rng.normal(size=(6, 3)).astype(np.float32) for _ in range(3)]
    cohort = [tf.data.Dataset.from_tensor_slices(one) for one in points]
    after = []
    for name in ("local", "tff"):
        runner = runtime.compile(process, name)
        assert isinstance(runner, FormRunner) == (name == "local")
        state = runner.next(runner.initialize(), cohort).state
        after.append(runner.get_model_weights(state))
    np.testing.assert_allclose(*after, atol=1e-6)


# Secure sums: plain ones here


def run_one_round(process):
    runner = runtime.compile(process)
    state = runner.initialize()
    output = runner.next(state, tiny.create_cohort())
    return runner.get_model_weights(output.state).trainable[0]


@pytest.mark.parametrize("weighted", [True, False])
def test_a_secure_mean_is_the_mean_to_its_quantisation(weighted):
    build_fn = fed_avg if weighted else unweighted
    secure = build_fn(aggregator=lambda: learning.secure_aggregator(weighted=weighted, **SECURE))
    found, expected = run_one_round(secure), run_one_round(build_fn())
    # Three clients' numbers in [-50, 50] share 32 bits, of which TFF leaves some for the sum.
    largest_total = 24 if weighted else 3
    step = 100 / 2**31
    assert 0 < np.max(np.abs(found - expected)) < 3 * step * largest_total


def test_a_secure_aggregator_s_clients_send_integers_for_the_secure_sum():
    secure = runtime.cut(fed_avg(aggregator=learning.secure_aggregator))
    _, *integers = secure.work.type_signature.result
    leaves = [one for part in integers for one in tff.structure.flatten(part)]
    assert all(np.issubdtype(one.dtype, np.integer) for one in leaves)
    assert (784, 10) in [one.shape for one in leaves]
    plain, *none = form().work.type_signature.result
    assert [len(one) for one in none] == [0, 0, 0]
    assert (784, 10) in [one.shape for one in tff.structure.flatten(plain)]


def test_modular_and_bounded_sums():
    integers = tff.FederatedType(np.int32, tff.CLIENTS)

    @tff.federated_computation(tff.FederatedType(np.int32, tff.SERVER), integers)
    def sums(state, values):
        modular = tff.backends.mapreduce.federated_secure_modular_sum
        return state, tff.federated_zip(
            (
                modular(values, np.int32(7)),
                modular(values, np.int32(100)),
                tff.federated_secure_sum(values, np.int32(50)),
                tff.federated_secure_sum_bitwidth(values, 6),
                tff.federated_sum(values),
            )
        )

    runtime.install()
    assert sorted(runtime.cut(sums).moduli) == [7, 100]
    state, found = sums(3, [40, 30, 45, 1])
    assert state == 3
    assert tuple(found) == (116 % 7, 16, 116, 116, 116)


# The pieces


def test_the_pieces_are_plain_functions_that_make_up_a_round():
    process, cohort = fed_avg(), tiny.create_cohort()
    runner = runtime.compile(process)
    state = runner.initialize()
    expected = runner.next(state, cohort)
    cut = runtime.cut(process)
    broadcast = cut.prepare(state)
    total = cut.zero()
    for batches in cohort.values():
        update, *secure = cut.work(batches, broadcast)
        total = cut.accumulate(total, update)
    new_state, metrics = cut.update(state, (cut.report(total), *secure))
    assert tiny.same_bits([new_state, metrics], [expected.state, expected.metrics])


def test_two_partial_sums_merge_to_the_whole():
    updates = [form().work(one, broadcast())[0] for one in tiny.create_cohort().values()]
    add, zero = form().accumulate, form().zero()
    whole = functools.reduce(add, updates, zero)
    parts = form().merge(add(add(zero, updates[0]), updates[1]), add(zero, updates[2]))
    for one, other in zip(tf.nest.flatten(whole), tf.nest.flatten(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@functools.cache
def broadcast():
    return form().prepare(runtime.compile(fed_avg()).initialize())


def test_a_piece_s_type_says_what_goes_in_and_comes_out():
    printed = {name: str(getattr(form(), name).type_signature) for name in PIECES}
    assert "float32[784,10]" in printed["prepare"]
    assert "float32[?,28,28,1]" in printed["work"]


def test_a_plain_value_in_the_wrong_structure_is_refused():
    with pytest.raises(TypeError):
        form().prepare({"a": 1})
    with pytest.raises(TypeError, match="list of batches. Found int"):
        form().work(3, broadcast())
