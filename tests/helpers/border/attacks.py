"""Good calls of the room attacks."""

import numpy as np
from helpers import tiny
from helpers.border.calls import call, named, slow
from helpers.border.kinds import (
    CALLABLE,
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    SEED,
    SHARE,
    array,
    bools,
    count,
    ids,
    instance,
    labels,
    optional,
    pixels,
)
from helpers.border.samples import BAD_WEIGHTS, CLIENT_DATA, DATA, OTHER_SHAPES, WEIGHTS

from fedlab.attacks import (
    image_similarity,
    inversion,
    membership,
    model_inversion,
    poisoning,
)

COINS = np.array([True, False, True, False])
SCORES = np.array([2.0, -1.0, 1.0, 0.5])
UPDATE = [np.ones_like(w) for w in WEIGHTS.trainable]
ARRAYS = instance(UPDATE[:1], [np.nan * w for w in UPDATE], [w.astype(str) for w in UPDATE], [None])
IMAGES, LABELS = np.full((2, 28, 28), 0.5, np.float32), np.array([1, 2])
SIMILAR = np.random.default_rng(0).uniform(size=(2, 28, 28))
SHADOW = np.array([[2.0, 0.5, 1.0], [0.25, 1.5, 0.125]])
IS_IN = np.array([[True, False, True], [False, True, False]])
TRAINING = {
    "create_fn": (tiny.create_model, CALLABLE),
    "learning_rate": (0.5, POSITIVE),
    "num_steps": (1, COUNT),
    "batch_size": (1, optional(COUNT)),
}

SEARCH = {
    "labels": (LABELS, labels(LABELS)),
    "num_iterations": (1, COUNT),
    "num_directions": (1, COUNT),
    "step": (0.5, SHARE),
    "seed": (0, SEED),
}

ATTACK_CALLS = (
    call(
        model_inversion.by_gradient,
        weights=(WEIGHTS, BAD_WEIGHTS),
        labels=(LABELS, labels(LABELS, num_classes=10).without(LABELS[1:])),
        create_fn=(tiny.create_model, CALLABLE),
        num_iterations=(1, COUNT),
        step=(0.5, SHARE),
        seed=(0, SEED),
    ),
    call(
        model_inversion.from_confidences,
        query_fn=(lambda images: np.full((len(images), 10), 0.5), CALLABLE),
        **SEARCH,
    ),
    call(
        model_inversion.from_labels,
        query_fn=(lambda images: np.ones(len(images), int), CALLABLE),
        **SEARCH,
    ),
    call(inversion.model_delta, before=(WEIGHTS, BAD_WEIGHTS), after=(WEIGHTS, BAD_WEIGHTS)),
    call(
        inversion.infer_labels,
        bias_gradient=(SCORES, array(SCORES)),
        num_images=(2, COUNT),
        mean_probabilities=(np.full(4, 0.25), optional(array(np.full(4, 0.25), at_least=0))),
    ),
    call(
        inversion.dense_inputs,
        kernel_gradient=(np.ones((3, 4)), array(np.ones((3, 4)))),
        bias_gradient=(SCORES, array(SCORES)),
    ),
    slow(
        inversion.client_delta,
        weights=(WEIGHTS, BAD_WEIGHTS.without(OTHER_SHAPES)),
        images=(IMAGES, pixels(IMAGES)),
        labels=(LABELS, labels(LABELS, num_classes=10)),
        **TRAINING,
    ),
    slow(
        inversion.invert,
        delta=(UPDATE, ARRAYS),
        weights=(WEIGHTS, BAD_WEIGHTS.without(OTHER_SHAPES)),
        labels=(LABELS, labels(LABELS, num_classes=10).without(LABELS[1:])),
        **TRAINING,
        tv_weight=(0.0, NOT_NEGATIVE),
        num_iterations=(1, COUNT),
        num_restarts=(1, COUNT),
        seed=(0, SEED),
    ),
    call(
        membership.evaluate_attack,
        scores=(SCORES, array(SCORES, is_finite=False)),
        is_member=(COINS, bools(COINS)),
        client_ids=(list("abcd"), optional(ids(list("abcd"), may_repeat=True))),
        confidence=(0.75, FRACTION),
        num_resamples=(3, COUNT),
        seed=(0, SEED),
    ),
    named(
        "attacks.membership.AttackResult.tpr_at",
        membership.evaluate_attack(SCORES, COINS, num_resamples=2).tpr_at,
        fpr=(0.5, SHARE),
    ),
    call(
        membership.loss_scores,
        losses=(np.ones(3), array(np.ones(3), is_finite=False).without(np.ones((1, 3)))),
    ),
    call(
        membership.logit_confidences,
        losses=(
            np.ones(3),
            array(np.ones(3), at_least=0, is_finite=False).without(np.ones((1, 3))),
        ),
    ),
    call(
        membership.lira_scores,
        target=(SHADOW[0], array(SHADOW[0])),
        shadow=(SHADOW, array(SHADOW)),
        is_in=(IS_IN, bools(IS_IN)),
    ),
    call(
        membership.mean_per_client,
        values=(SCORES, array(SCORES, is_finite=False).without(SCORES[None], SCORES > 0.5)),
        client_ids=(list("aabb"), ids(list("aabb"), may_repeat=True)),
    ),
    call(
        membership.train_shadow_models,
        train_fn=(lambda members, seed: np.ones(3), CALLABLE),
        client_ids=(list("abcd"), ids(list("abcd"))),
        num_models=(2, count(at_least=2)),
        seed=(0, SEED),
    ),
    call(
        poisoning.poison,
        client_data=(DATA, CLIENT_DATA),
        client_ids=(["c0"], ids(["c0", "c1"], must_exist=True, may_be_empty=True)),
        poison_fn=(lambda examples: examples, CALLABLE),
    ),
    call(
        poisoning.flip_labels,
        mapping=({1: 7}, optional(instance({1.5: 2}, {1: "7"}, {1: 10}, {-1: 0}, {True: 1}, [1]))),
        num_classes=(10, COUNT),
    ),
    call(poisoning.repeat_examples, times=(2, COUNT)),
    call(
        poisoning.scale_images,
        cohort_fn=(tiny.COHORT_FN, CALLABLE),
        client_ids=(["c0"], ids(["c0", "c1"], may_be_empty=True)),
        factor=(2.0, NUMBER),
    ),
    call(
        image_similarity.match,
        originals=(SIMILAR, pixels(SIMILAR)),
        reconstructions=(SIMILAR, pixels(SIMILAR)),
    ),
    call(
        image_similarity.score,
        originals=(SIMILAR, pixels(SIMILAR)),
        reconstructions=(SIMILAR, pixels(SIMILAR)),
    ),
    call(image_similarity.blank_baseline, originals=(SIMILAR, pixels(SIMILAR))),
)
