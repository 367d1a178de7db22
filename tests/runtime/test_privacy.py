"""Nothing that is not protected leaves the clients of a private process, whoever built it."""

import functools

import numpy as np
import pytest
import tensorflow_federated as tff
from helpers import tiny
from helpers.tff_processes import FUNCTIONAL, VARIABLE, build_two_phases

from fedlab import learning, runtime
from fedlab.dp import mechanisms
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.learning import schedules
from fedlab.runtime import privacy

PLAN = PrivacyPlan(6, 3, num_rounds=5, noise_multiplier=0.1, clip=0.5)
WITH_METRICS = PrivacyPlan(6, 3, num_rounds=5, noise_multiplier=0.1, clip=0.5, metrics_clip=40.0)
SCHEDULE = schedules.exponential_decay(0.1, factor=0.5, num_rounds=10)
BUILDERS = {
    "fed_avg": learning.build_fed_avg,
    "fed_avg, a schedule": functools.partial(learning.build_fed_avg, client_learning_rate=SCHEDULE),
    "fed_avgm": learning.build_fed_avgm,
    "fed_prox": functools.partial(learning.build_fed_prox, mu=0.1),
    "fed_adam": learning.build_fed_adam,
    "fed_yogi": learning.build_fed_yogi,
}
MIME = {
    "mime_lite": learning.build_mime_lite,
    "mime_lite, a schedule": functools.partial(
        learning.build_mime_lite, client_learning_rate=SCHEDULE
    ),
}
MECHANISMS = {
    "fixed": lambda: mechanisms.gaussian_fixed(0.1, 1e20, 3),
    "adaptive": lambda: mechanisms.gaussian_adaptive(0.1, 0.5, 300),
    "tree": lambda: mechanisms.tree_aggregation(0.1, 0.5, 3, 4),
}


def build_secure_aggregator():
    return tff.learning.secure_aggregator(zeroing=False, clipping=False)


def compile(process, **options):
    runtime.compile(process, **options).close()


def check(process, **options):
    """Does what `compile` does, and loads nothing."""
    privacy.check_sent(privacy.find_sent(process.next, runtime.cut(process)), **options)


AGGREGATORS = pytest.mark.parametrize(
    "aggregator_fn, options",
    [(aggregator_fn, {}) for aggregator_fn in MECHANISMS.values()]
    + [(build_secure_aggregator, {"sums_securely": True})],
    ids=[*MECHANISMS, "secure"],
)


def is_weighted(aggregator):
    return isinstance(aggregator, tff.aggregators.WeightedAggregationFactory)


def build_without_metrics(build_fn, aggregator_fn):
    aggregator = aggregator_fn()
    return build_fn(
        FUNCTIONAL,
        weighted=is_weighted(aggregator),
        aggregator=aggregator,
        metrics_aggregator=learning.leave_out_metrics,
    )


@pytest.mark.parametrize("build_fn", BUILDERS.values(), ids=BUILDERS)
@AGGREGATORS
def test_without_metrics_a_protected_update_is_all(build_fn, aggregator_fn, options):
    check(build_without_metrics(build_fn, aggregator_fn), **options)


@AGGREGATORS
def test_metrics_are_told_unless_they_may_be_seen(aggregator_fn, options):
    aggregator = aggregator_fn()
    weighted = is_weighted(aggregator)
    process = learning.build_fed_avg(VARIABLE, weighted=weighted, aggregator=aggregator)
    with pytest.raises(runtime.PrivacyError, match="in the clear: accuracy, loss, num_examples"):
        check(process, **options)
    check(process, metrics_in_the_clear=True, **options)


def test_secure_metrics_are_protected_by_the_secure_sum():
    process = learning.build_fed_avg(  # TFF 0.87 fails for the metrics of a FunctionalModel
        VARIABLE,
        aggregator=build_secure_aggregator(),
        metrics_aggregator=tff.learning.metrics.secure_sum_then_finalize,
    )
    check(process, sums_securely=True)


def find_open_metrics(process, **options):
    with runtime.compile(process, **options) as runner:
        return runner.protection.metrics_in_the_clear


def test_metrics_that_reach_the_server_or_may_are_told():
    secure = {
        "aggregator": build_secure_aggregator(),
        "metrics_aggregator": tff.learning.metrics.secure_sum_then_finalize,
    }
    without = {"metrics_aggregator": learning.leave_out_metrics}
    assert find_open_metrics(learning.build_fed_avg(VARIABLE))
    assert not find_open_metrics(learning.build_fed_avg(VARIABLE, **without))
    summed = learning.build_fed_avg(VARIABLE, **secure)
    assert find_open_metrics(summed)  # the server adds the integers itself
    assert not find_open_metrics(summed, secure_sum="secagg")
    assert find_open_metrics(build_two_phases())  # nobody knows what is a metric
    private = {"weighted": False, "aggregator": PLAN.build_aggregator()}
    told = learning.build_fed_avg(VARIABLE, **private)
    assert find_open_metrics(told, privacy_plan=PLAN, metrics_in_the_clear=True)
    kept = learning.build_fed_avg(VARIABLE, **private, **without)
    assert not find_open_metrics(kept, privacy_plan=PLAN)
    private = {"weighted": False, "aggregator": WITH_METRICS.build_aggregator()}
    noisy = {"metrics_aggregator": WITH_METRICS.build_metrics_aggregator()}
    hidden = learning.build_fed_avg(VARIABLE, **private, **noisy)
    assert not find_open_metrics(hidden, privacy_plan=WITH_METRICS)


@pytest.mark.parametrize("build_fn", MIME.values(), ids=MIME)
@AGGREGATORS
def test_mime_lite_sends_its_gradients_past_a_private_aggregator(build_fn, aggregator_fn, options):
    process = build_without_metrics(build_fn, aggregator_fn)
    with pytest.raises(runtime.PrivacyError, match=r"in the clear: 1 of float32\[784,10\]"):
        check(process, metrics_in_the_clear=True, **options)


def test_a_secure_sum_beside_mime_lite_is_refused():
    process = learning.build_mime_lite(FUNCTIONAL, aggregator=tff.learning.secure_aggregator())
    with pytest.raises(runtime.PrivacyError, match="Mime Lite sends gradients"):
        compile(process, secure_sum="secagg")


def test_fed_sgd_sends_its_gradient_through_the_aggregator_alone():
    aggregator = tff.aggregators.as_weighted_aggregator(MECHANISMS["fixed"]())
    build = functools.partial(learning.build_fed_sgd, FUNCTIONAL, aggregator=aggregator)
    compile(build(metrics_aggregator=learning.leave_out_metrics))
    with pytest.raises(runtime.PrivacyError, match="training metrics"):
        compile(build())


@pytest.mark.parametrize(
    "wrap_fn", [tff.aggregators.zeroing_factory, tff.aggregators.clipping_factory]
)
def test_what_another_aggregator_counts_around_the_mechanism_is_told(wrap_fn):
    process = build_private(aggregator=wrap_fn(2.0, PLAN.build_aggregator()))
    with pytest.raises(runtime.PrivacyError, match="1 of int32"):
        compile(process)


def build_private(**options):
    options = {
        "weighted": False,
        "aggregator": PLAN.build_aggregator(),
        "metrics_aggregator": learning.leave_out_metrics,
    } | options
    return learning.build_fed_avg(FUNCTIONAL, **options)


def test_a_plan_is_for_the_process_that_was_built_from_it():
    compile(build_private(), privacy_plan=PLAN)
    less_noise = mechanisms.gaussian_fixed(0.05, 0.5, 3)
    with pytest.raises(runtime.PrivacyError, match=r"noise0.1.clip0.5.*Found .*noise0.05"):
        compile(build_private(aggregator=less_noise), privacy_plan=PLAN)
    with pytest.raises(runtime.PrivacyError, match=r"aggregator=plan.build_aggregator\(\)"):
        compile(build_private(aggregator=None), privacy_plan=PLAN)


def test_a_mechanism_that_is_used_twice_is_not_the_plan_s():
    aggregator = tff.aggregators.as_weighted_aggregator(PLAN.build_aggregator())
    process = tff.learning.algorithms.build_weighted_mime_lite(
        FUNCTIONAL,
        tff.learning.optimizers.build_sgdm(0.1, 0.9),
        model_aggregator=aggregator,
        full_gradient_aggregator=aggregator,
        metrics_aggregator=learning.leave_out_metrics,
    )
    check(process)  # all is clipped and gets noise; nobody says for how much
    with pytest.raises(runtime.PrivacyError, match="sends 2 results of the mechanism gaussian"):
        check(process, plan=PLAN)


@pytest.mark.parametrize("name", ["local", "tff"])
def test_on_every_runtime(name):
    options = {"runtime": name, "privacy_plan": PLAN}
    compile(build_private(), **options)
    with pytest.raises(runtime.PrivacyError, match="training metrics"):
        compile(build_private(metrics_aggregator=None), **options)
    with pytest.raises(runtime.PrivacyError, match="training metrics"):
        compile(build_private(metrics_aggregator=None), runtime=name)
    with pytest.raises(runtime.PrivacyError, match="cannot be told apart"):
        compile(build_two_phases(), **options)


def test_when_a_process_is_called_directly(monkeypatch):
    runtime.install()
    process = learning.build_mime_lite(
        FUNCTIONAL, weighted=False, aggregator=PLAN.build_aggregator()
    )
    with pytest.raises(runtime.PrivacyError, match="Mime Lite sends gradients"):
        process.next(process.initialize(), list(tiny.create_cohort().values()))


def run_private_metrics(model, noise_multiplier, metrics_clip, num_rounds=1):
    """Returns the training metrics of a first round, done several times."""
    plan = PrivacyPlan(6, 3, 5, noise_multiplier, clip=0.5, metrics_clip=metrics_clip)
    process = learning.build_fed_avg(
        model,
        weighted=False,
        aggregator=plan.build_aggregator(insecure_seed=1),
        metrics_aggregator=plan.build_metrics_aggregator(),
    )
    with runtime.compile(process, privacy_plan=plan) as runner:
        state = runner.initialize()
        outputs = [runner.next(state, tiny.create_cohort()) for _ in range(num_rounds)]
    return [output.metrics["client_work"]["train"] for output in outputs]


@pytest.mark.parametrize("model", [FUNCTIONAL, VARIABLE], ids=["functional", "variables"])
def test_private_metrics_without_clip_and_noise_are_the_plain_ones(model):
    with runtime.compile(learning.build_fed_avg(model, weighted=False)) as runner:
        output = runner.next(runner.initialize(), tiny.create_cohort())
    expected = output.metrics["client_work"]["train"]
    (found,) = run_private_metrics(model, 0.0, 1e6)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype


def test_private_metrics_are_clipped_and_get_noise():
    (clipped,) = run_private_metrics(FUNCTIONAL, 0.0, 1.0)
    assert 0 < clipped["num_examples"] <= 3  # three clients, each of norm 1 at most
    noisy = run_private_metrics(FUNCTIONAL, 1.0, 1e6, num_rounds=3)
    assert len({int(metrics["num_examples"]) for metrics in noisy}) == 3


def test_the_metrics_take_their_share_of_the_noise():
    assert WITH_METRICS.epsilon == PLAN.epsilon
    (update,) = WITH_METRICS.mechanism_names - {metrics_name()}
    noise = [float(name.split("noise")[1].split(".clip")[0]) for name in (update, metrics_name())]
    assert sum(one**-2 for one in noise) == pytest.approx(0.1**-2)
    with pytest.raises(ValueError, match="metrics_clip.*Found None"):
        PLAN.build_metrics_aggregator()


def metrics_name():
    (name,) = [name for name in WITH_METRICS.mechanism_names if "clip40.0" in name]
    return name


def test_a_process_that_promises_nothing_is_left_alone():
    process = learning.build_mime_lite(FUNCTIONAL)
    compile(process)
    sent = privacy.find_sent(process.next, runtime.cut(process))
    assert not any(tensor.mechanism or tensor.is_securely_summed for tensor in sent)
    assert [tensor.name for tensor in sent if tensor.is_metric][:2] == [
        "accuracy[0]",
        "accuracy[1]",
    ]
