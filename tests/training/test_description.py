"""A run goes on only as it was begun: what changes it is refused or named."""

import dataclasses
import re
import warnings

import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import learning, models, training
from fedlab.checkpoints import FOLDER_NAME
from fedlab.data import sampling
from fedlab.data.client_data import MemoryClientData
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp.mechanisms import gaussian_fixed
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.training import Checkpoint, run_rounds

BATCHES = Preprocessing(batch_size=5, shuffle=True)
IDS = tiny.DATA.client_ids


def build_cohorts(data=tiny.DATA, sample_fn=None, batches=BATCHES):
    return build_cohort_fn(data, sample_fn or sampling.uniform(IDS, 3, seed=1), batches)


def change_label(client_id: str) -> MemoryClientData:
    def read(name):
        examples = tiny.DATA.examples(name)
        return examples._replace(labels=(examples.labels + (name == client_id)) % 10)

    return MemoryClientData(IDS, read)


@pytest.fixture(scope="module")
def saved(process, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    run_rounds(process, build_cohorts(), 2, callbacks=[Checkpoint(folder)])
    return folder


def go_on(folder, process, cohort_fn=None, **options):
    cohort_fn = cohort_fn or build_cohorts()
    return run_rounds(process, cohort_fn, 2, callbacks=[Checkpoint(folder, **options)])


def batches(**changes):
    return lambda: build_cohorts(batches=dataclasses.replace(BATCHES, **changes))


COHORTS = {
    "data of one client": (lambda: build_cohorts(change_label("c4")), "cohort_fn.data .the clients' data."),
    "fewer clients": (lambda: build_cohorts(tiny.DATA.select(IDS[:5]), sampling.uniform(IDS[:5], 3)), "data"),
    "seed": (lambda: build_cohorts(sample_fn=sampling.uniform(IDS, 3, seed=2)), "sampling.seed was 1 and is 2"),
    "size": (lambda: build_cohorts(sample_fn=sampling.uniform(IDS, 2, seed=1)), "num_clients was 3 and is 2"),
    "sampler": (lambda: build_cohorts(sample_fn=sampling.fixed(IDS)), "sampler was uniform and is fixed"),
    "population": (lambda: build_cohorts(sample_fn=sampling.uniform(IDS[1:], 3, seed=1)), "client_ids was"),
    "batch size": (batches(batch_size=4), "preprocessing.batch_size was 5 and is 4"),
    "epochs": (batches(num_epochs=2), "preprocessing.num_epochs was 1 and is 2"),
    "order": (batches(shuffle=False), "preprocessing.shuffle was True and is False"),
    "seed of the order": (batches(seed=7), "preprocessing.seed was 0 and is 7"),
    "examples": (batches(max_examples=3), "preprocessing.max_examples was None and is 3"),
    "augmentation": (batches(augmentation=lambda images, seed: images), "augmentation was None and is .*lambda"),
}  # fmt: skip


@pytest.mark.parametrize("name", COHORTS)
def test_other_cohorts_are_refused_with_what_differs(saved, process, name):
    build, difference = COHORTS[name]
    before = sorted(path.name for path in (saved / FOLDER_NAME).iterdir())
    with pytest.raises(ValueError, match=f"was begun as another one: .*{difference}.* Nothing was"):
        go_on(saved, process, build())
    assert sorted(path.name for path in (saved / FOLDER_NAME).iterdir()) == before


@pytest.mark.parametrize(
    "options",
    [{"client_learning_rate": 0.2}, {"weighted": False}, {"client_optimizer": "adam"}],
    ids=str,
)
def test_another_process_is_refused(saved, options):
    with pytest.raises(
        ValueError, match="process .what the process computes: .*learning rate, weigh"
    ):
        go_on(saved, tiny.build_process(**options))


def test_the_same_settings_built_again_go_on_without_a_word(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = go_on(saved, tiny.build_process(), build_cohorts(change_label("no client's")))
    assert len(run.records) == 2


def test_one_may_go_on_as_another_run_and_is_told(saved, process, tmp_path):
    changed = batches(batch_size=4)()
    with pytest.warns(UserWarning, match="batch_size was 5 and is 4. It goes on as this one"):
        go_on(saved, process, changed, on_change="warn")
    with pytest.raises(ValueError, match="on_change must be one of raise, warn. Found 'ignore'"):
        Checkpoint(tmp_path, on_change="ignore")


def test_what_nobody_can_compare_is_named(saved, process, tmp_path):
    with pytest.warns(UserWarning, match=r"is not known for: cohort_fn \(the cohorts\)"):
        go_on(saved, process, lambda round_num: build_cohorts()(round_num))
    own = build_cohorts(sample_fn=lambda round_num: IDS[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said before there is something to compare
        go_on(tmp_path, process, own)
    with pytest.warns(UserWarning, match=r"not known for: cohort_fn.sampling \(the sampling\)\. "):
        go_on(tmp_path, process, own)


def test_other_versions_are_named(saved, process, monkeypatch):
    monkeypatch.setattr(training.description.importlib.metadata, "version", lambda name: "3.0")
    with pytest.raises(ValueError, match=r"versions.tensorflow was 2\S+ and is 3.0"):
        go_on(saved, process)


def build_noisy(noise: float):
    model = models.build_functional_model(tiny.create_model)
    return learning.build_fed_avg(
        model,
        weighted=False,
        aggregator=gaussian_fixed(noise, 1.0, 3),
        metrics_aggregator=learning.leave_out_metrics,
    )


def test_noise_that_is_kept_in_the_state_cannot_be_changed(tmp_path):
    go_on(tmp_path, build_noisy(0.5))
    for on_change in ("raise", "warn"):
        with pytest.raises(ValueError, match=r"noise_multiplier = 0.5, and this process has 0.75"):
            go_on(tmp_path, build_noisy(0.75), on_change=on_change)


def test_a_plan_s_secret_seed_is_not_asked_for(tmp_path, process):
    plan = PrivacyPlan(len(IDS), 3, 4, noise_multiplier=1.0, clip=1.0)
    for _ in range(2):
        run = go_on(tmp_path, process, build_cohorts(sample_fn=plan.sample_fn(IDS)))
    assert len(run.records) == 2
    with pytest.raises(ValueError, match="sampling.seed was None and is 1"):
        go_on(tmp_path, process, build_cohorts(sample_fn=plan.sample_fn(IDS, insecure_seed=1)))


def test_a_model_without_a_seed_and_a_random_rotation_go_on(tmp_path):
    def create_unseeded():
        layers = tf.keras.layers
        return tf.keras.Sequential(
            [layers.InputLayer(models.INPUT_SHAPE), layers.Flatten(), layers.Dense(10)]
        )

    def build():
        sgd = tff.learning.optimizers.build_sgdm
        return tff.learning.algorithms.build_unweighted_fed_avg(
            models.build_model_fn(create_unseeded),
            sgd(0.1),
            sgd(1.0),
            model_aggregator=tff.aggregators.HadamardTransformFactory(tff.aggregators.SumFactory()),
        )

    first = go_on(tmp_path, build())
    assert tiny.same_bits(go_on(tmp_path, build()).state, first.state)


def test_data_that_is_large_is_read_in_part(monkeypatch, process, tmp_path):
    monkeypatch.setattr("fedlab.data.description._MAX_BYTES", 1)
    read = []

    def read_fn(client_id):
        read.append(client_id)
        return tiny.DATA.examples(client_id)

    cohort_fn = build_cohorts(MemoryClientData(IDS, read_fn), sampling.fixed(["c2"]))
    go_on(tmp_path, process, cohort_fn)
    assert read.count("c2") == 1 and len(read) == 2  # it trains, and another one is digested


def test_a_client_that_cannot_be_read_is_no_reason_to_stop(process, tmp_path):
    def read_fn(client_id):
        examples = tiny.DATA.examples(client_id)
        return examples._replace(pixels=examples.pixels - (client_id == "c5"))

    cohort_fn = build_cohorts(MemoryClientData(IDS, read_fn), sampling.fixed(["c1"]))
    assert len(go_on(tmp_path, process, cohort_fn).records) == 2


def test_tff_s_own_client_data_has_a_digest_too(process, tmp_path):
    def build(shift):
        every = {name: tiny.DATA.examples(name) for name in IDS}
        return tff.simulation.datasets.TestClientData(
            {
                name: {"label": (examples.labels + shift) % 10, "pixels": examples.pixels}
                for name, examples in every.items()
            }
        )

    go_on(tmp_path, process, build_cohorts(build(0)))
    go_on(tmp_path, process, build_cohorts(build(0)))
    with pytest.raises(ValueError, match=re.escape("cohort_fn.data (the clients' data) was")):
        go_on(tmp_path, process, build_cohorts(build(1)))


def test_an_evaluation_does_not_overwrite_the_record(train):
    for name in ("loss", "round_num"):
        with pytest.raises(
            ValueError, match=f"such as 'eval_{name}'. Found {name}, which the record"
        ):
            train(1, evaluate_fn=lambda round_num, weights, name=name: {name: 0.0})
