"""What is computed from a data set is kept for as long as the data set, and no longer."""

import gc
import weakref

from helpers import studies, tiny

from fedlab.caching import cache_while_alive
from fedlab.data import sampling
from fedlab.data.preprocessing import build_cohort_fn
from fedlab.experiments import execution, partitions


class Key:
    pass


def test_a_result_is_computed_once_for_each_object_and_argument():
    calls = []
    function = cache_while_alive(lambda *args: calls.append(args) or len(calls))
    first, second = Key(), Key()
    assert [function(first, 1), function(first, 1), function(first, 2)] == [1, 1, 2]
    assert [function(second, 1), function(first, 1)] == [3, 1]


def is_freed(create, use) -> bool:
    """Returns whether an object is freed after its last use."""

    def create_and_use():  # a frame of its own: TensorFlow makes frames remember their variables
        data = create()
        use(data)
        return weakref.ref(data)

    reference = create_and_use()
    gc.collect()
    return reference() is None


def test_a_cohort_does_not_keep_the_data_set():
    def use(data):
        dict(build_cohort_fn(data, sampling.fixed(data.client_ids))(1))

    assert is_freed(lambda: tiny.create_data(3, 2), use)


def test_a_deal_does_not_keep_the_data_set():
    config = studies.change(partition="iid")
    assert is_freed(lambda: tiny.create_data(3, 2), lambda data: partitions.deal(config, data, 0))


def test_a_study_does_not_keep_the_data_set():
    config = studies.change(partition="iid", pretrained=True, num_rounds=1)

    def create():
        return studies.create_dataset(
            train=tiny.create_data(*[6] * 5), test=tiny.create_data(*[2] * 5)
        )

    def use(dataset):
        execution.run(config, dataset, seed=0, create_fn=studies.create_model)

    assert is_freed(create, use)
