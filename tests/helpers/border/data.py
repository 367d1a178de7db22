"""Good calls of the room data."""

import numpy as np
from helpers.border.calls import call, named
from helpers.border.kinds import (
    BELOW_ONE,
    CALLABLE,
    COUNT,
    FLAG,
    FRACTION,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    choice,
    count,
    ids,
    instance,
    labels,
    mapping,
    number,
    optional,
    pixels,
)
from helpers.border.samples import (
    CLIENT_DATA,
    CLIENTS,
    DATA,
    DATASET,
    DATASET_KIND,
    ENTRY,
    IDS,
    KNOWN,
    LABELS,
    OWNERS,
    PIXELS,
    SHAPE,
)

from fedlab import data
from fedlab.data import (
    augmentation,
    consent,
    handwriting,
    partition,
    preprocessing,
    sampling,
)


def sample_fn(function, *arguments):
    return named(
        f"data.sampling.{function.__name__} -> sample_fn",
        lambda round_num: function(IDS, *arguments)(round_num),
        round_num=(2, count(at_least=1 if function is sampling.once_per_epoch else 0)),
    )


DATA_CALLS = (
    call(
        data.MemoryClientData,
        client_ids=(IDS, CLIENTS),
        read_fn=(dict, CALLABLE),
        num_classes=(10, COUNT),
        image_shape=((28, 28), SHAPE),
        compact=(True, FLAG),
    ),
    named("data.MemoryClientData.examples", DATA.examples, client_id=("c0", choice("c0", "c1"))),
    named(
        "data.MemoryClientData.num_examples",
        DATA.num_examples,
        client_id=("c0", choice("c0", "c1")),
    ),
    named("data.MemoryClientData.select", DATA.select, client_ids=(DATA.client_ids, KNOWN)),
    call(
        data.from_arrays,
        pixels=(PIXELS, pixels(PIXELS)),
        labels=(LABELS, labels(LABELS, num_classes=10)),
        client_ids=(OWNERS, ids(list(OWNERS), may_repeat=True)),
        test_fraction=(0.25, FRACTION),
        num_classes=(10, COUNT),
        seed=(0, SEED),
    ),
    call(
        data.client_arrays,
        client_data=(DATA, CLIENT_DATA),
        client_id=("c0", choice("c0", "c1")),
    ),
    call(data.pool, client_data=(DATA, CLIENT_DATA), max_examples=(2, optional(COUNT))),
    call(data.take, client_data=(DATA, CLIENT_DATA), rows=(np.array([2, 0]), labels([2, 0]))),
    call(
        data.split_clients, client_data=(DATA, CLIENT_DATA), num_unseen=(1, COUNT), seed=(0, SEED)
    ),
    call(
        data.load_digits,
        num_clients=(4, count(at_least=2, at_most=359)),
        alpha=(5.0, POSITIVE),
        seed=(0, SEED),
    ),
    call(data.load, name=("digits", optional(choice("digits", "emnist")))),
    call(data.describe, name=("digits", optional(choice("digits", "emnist")))),
    call(data.show_name, argument=("digits", choice("digits", "emnist"))),
    call(data.cite, name_in_results=("digits", TEXT)),
    call(data.register, entry=(ENTRY, instance(("table", "d")))),
    call(
        data.FederatedDataset,
        name=("mine", TEXT),
        train=(DATA, instance({"c0": 3})),
        test=(DATA, instance({"c0": 3})),
        public_fn=(dict, optional(CALLABLE)),
        argument=("mine", TEXT),
        description=("mine", TEXT),
        licence=("mine", TEXT),
        source=("mine", TEXT),
    ),
    call(partition.iid, num_examples=(40, COUNT), num_clients=(4, COUNT), seed=(0, SEED)),
    call(
        partition.shards,
        labels=(LABELS, labels(LABELS)),
        num_clients=(2, COUNT),
        shards_per_client=(2, COUNT),
        seed=(0, SEED),
    ),
    call(
        partition.dirichlet,
        labels=(LABELS, labels(LABELS)),
        num_clients=(4, COUNT),
        alpha=(1.0, POSITIVE),
        seed=(0, SEED),
    ),
    call(
        sampling.sample_cohort,
        client_ids=(IDS, CLIENTS),
        num_clients=(2, COUNT),
        seed=(0, SEED),
        round_num=(1, count(at_least=0)),
    ),
    call(sampling.fixed, client_ids=(IDS, CLIENTS)),
    call(sampling.uniform, client_ids=(IDS, CLIENTS), num_clients=(2, COUNT), seed=(0, SEED)),
    call(
        sampling.poisson,
        client_ids=(IDS, CLIENTS),
        expected_num_clients=(2.0, number(above=0, at_most=4)),
        seed=(0, SEED),
    ),
    call(
        sampling.once_per_epoch, client_ids=(IDS, CLIENTS), num_clients=(2, COUNT), seed=(0, SEED)
    ),
    call(sampling.drop_out, sample_fn=(list, CALLABLE), rate=(0.5, BELOW_ONE), seed=(0, SEED)),
    call(
        consent.with_consent,
        sample_fn=(sampling.fixed(IDS), CALLABLE),
        client_ids=(IDS, CLIENTS),
        consent=(
            {"ann": range(1, 3)},
            mapping({"ann": range(1, 3)}, None, 3, True, [1], range(-1, 3), range(1, 9, 2)),
        ),
    ),
    named(
        "data.consent.with_consent -> sample_fn",
        lambda round_num: consent.with_consent(sampling.fixed(IDS), IDS, {"ann": range(1, 3)})(
            round_num
        ),
        round_num=(2, count(at_least=0)),
    ),
    sample_fn(sampling.fixed),
    sample_fn(sampling.uniform, 2),
    sample_fn(sampling.poisson, 2.0),
    sample_fn(sampling.once_per_epoch, 2),
    call(preprocessing.build_input_spec, image_shape=((28, 28), SHAPE)),
    call(
        preprocessing.Preprocessing,
        batch_size=(20, COUNT),
        num_epochs=(1, COUNT),
        shuffle=(False, FLAG),
        max_examples=(5, optional(COUNT)),
        seed=(0, SEED),
        augmentation=("shift", optional(choice("shift", "affine"))),
    ),
    call(
        preprocessing.Cohort,
        client_data=(DATA, CLIENT_DATA),
        client_ids=(DATA.client_ids, ids(["c0", "c1"], must_exist=True, may_be_empty=True)),
        preprocessing=(preprocessing.Preprocessing(), instance({"batch_size": 5})),
        round_num=(1, count(at_least=0)),
    ),
    call(
        preprocessing.build_cohort_fn,
        client_data=(DATA, CLIENT_DATA),
        sample_fn=(sampling.fixed(DATA.client_ids), CALLABLE),
        preprocessing=(preprocessing.Preprocessing(), optional(instance({"batch_size": 5}))),
    ),
    call(preprocessing.preprocess, dataset=(DATASET, DATASET_KIND)),
    call(augmentation.get_augmentation, augmentation=("shift", choice("shift", "affine"))),
    call(handwriting.scale_digits, pixels=(PIXELS, pixels(PIXELS)), scale=(0.5, SHARE)),
    call(
        handwriting.shift_digits,
        pixels=(PIXELS, pixels(PIXELS)),
        shifts=(np.zeros((len(PIXELS), 2), int), None),
    ),
    call(
        handwriting.change_strokes,
        pixels=(PIXELS, pixels(PIXELS)),
        stroke=("thin", choice("thin", "thick")),
    ),
)
