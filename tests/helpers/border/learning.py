"""Good calls of the rooms models, learning and training, and of evaluation."""

import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.border.calls import call, named, slow
from helpers.border.kinds import (
    BELOW_ONE,
    CALLABLE,
    COUNT,
    FLAG,
    NAN,
    NOT_NEGATIVE,
    NUMBER,
    PATH,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    ZERO_TO_ONE,
    count,
    ids,
    instance,
    number,
    optional,
    table,
)
from helpers.border.samples import (
    ADAPTIVE,
    BAD_WEIGHTS,
    BATCHES,
    CLIENT_DATA,
    DATA,
    DATASET,
    KNOWN,
    METRICS,
    MODEL,
    MODEL_KIND,
    MODEL_OPTION,
    OPTIONS,
    PREDICTIONS,
    SEED32,
    SERVER_RATE,
    SPEC,
    SPEC_KIND,
    WEIGHTS,
)

from fedlab import evaluation, learning, models, training
from fedlab.learning import aggregators, personalization, schedules

MODEL_CALLS = (
    slow(
        models.create_cnn,
        num_classes=(10, COUNT),
        seed=(0, SEED32),
        input_shape=(
            (28, 28, 1),
            instance((28, 28), (28, 0, 1), (28, 28, -1), (28, 2.5, 1), "abc"),
        ),
    ),
    slow(
        models.create_deeper_cnn,
        num_classes=(10, COUNT),
        dropout_rates=(
            (0.25, 0.5),
            instance(0.5, "ab", (0.5,), (0.25, 1.0), (-0.1, 0.5), (0.25, NAN), ("0.25", 0.5)),
        ),
        seed=(0, SEED32),
    ),
    slow(models.create_small_cnn, num_classes=(10, COUNT), seed=(0, SEED32)),
    call(models.Dropout, rate=(0.5, BELOW_ONE), seed=(0, SEED32)),
    call(
        models.build_model_fn, create_fn=(tiny.create_model, CALLABLE), input_spec=(SPEC, SPEC_KIND)
    ),
    slow(
        models.build_functional_model,
        create_fn=(tiny.create_model, CALLABLE),
        input_spec=(SPEC, SPEC_KIND),
    ),
    call(
        models.assign_weights,
        model=(tiny.create_model(), instance(tiny.create_model)),
        weights=(WEIGHTS, BAD_WEIGHTS),
    ),
)

PULL = {"mu": (0.5, NOT_NEGATIVE)}
LEARNING_CALLS = (
    slow(
        learning.build_fed_opt,
        **MODEL_OPTION,
        server_optimizer=(
            tff.learning.optimizers.build_sgdm(1.0),
            instance("sgd", tf.keras.optimizers.SGD(1.0), tff.learning.optimizers.build_sgdm),
        ),
        **OPTIONS,
        **PULL,
    ),
    slow(learning.build_fed_avg, **MODEL_OPTION, **SERVER_RATE, **OPTIONS),
    slow(
        learning.build_fed_avgm,
        **MODEL_OPTION,
        momentum=(0.5, BELOW_ONE),
        **SERVER_RATE,
        **OPTIONS,
        **PULL,
    ),
    slow(learning.build_fed_prox, **MODEL_OPTION, mu=(1.0, NOT_NEGATIVE), **SERVER_RATE, **OPTIONS),
    slow(learning.build_fed_adam, **MODEL_OPTION, **SERVER_RATE, **ADAPTIVE, **OPTIONS, **PULL),
    slow(learning.build_fed_yogi, **MODEL_OPTION, **SERVER_RATE, **ADAPTIVE, **OPTIONS, **PULL),
    slow(
        learning.build_fed_sgd,
        **MODEL_OPTION,
        **SERVER_RATE,
        aggregator=(aggregators.mean(), OPTIONS["aggregator"][1]),
        **METRICS,
    ),
    slow(
        learning.build_mime_lite,
        model=(models.build_model_fn(tiny.create_model), MODEL_KIND),
        client_learning_rate=(0.5, NOT_NEGATIVE),
        momentum=(0.5, BELOW_ONE),
        **SERVER_RATE,
        weighted=(True, FLAG),
        aggregator=(aggregators.mean(), OPTIONS["aggregator"][1]),
        **METRICS,
    ),
    slow(learning.build_evaluation, **MODEL_OPTION),
    call(aggregators.mean, weighted=(True, FLAG)),
    call(aggregators.clipping, norm=(1.0, POSITIVE), weighted=(True, FLAG)),
    call(
        aggregators.adaptive_clipping,
        initial_norm=(1.0, POSITIVE),
        quantile=(1.0, ZERO_TO_ONE),
        learning_rate=(1.0, POSITIVE),
        weighted=(True, FLAG),
    ),
    call(aggregators.robust, weighted=(True, FLAG)),
    call(aggregators.compression, weighted=(True, FLAG)),
    call(
        aggregators.quantization,
        num_bits=(8, count(at_most=16)),
        min_size=(4, count(at_least=0)),
        weighted=(True, FLAG),
    ),
    call(aggregators.trimmed_mean, fraction=(0.25, number(at_least=0, below=0.5))),
    call(
        schedules.exponential_decay,
        rate=(1.0, NOT_NEGATIVE),
        factor=(1.0, SHARE),
        num_rounds=(4, COUNT),
    ),
    named(
        "learning.schedules.exponential_decay -> rate",
        lambda rate: schedules.exponential_decay(rate, factor=1, num_rounds=10)(tf.constant(3)),
        rate=(1.0, NOT_NEGATIVE),
    ),
    slow(
        personalization.personalize,
        weights=(WEIGHTS, BAD_WEIGHTS),
        train=(DATA, CLIENT_DATA),
        test=(DATA, CLIENT_DATA),
        client_ids=(["c0"], optional(ids(["c0", "c1"], must_exist=True))),
        create_fn=(tiny.create_model, CALLABLE),
        learning_rate=(0.5, NOT_NEGATIVE),
        num_epochs=(1, COUNT),
        batch_size=(2, COUNT),
        seed=(0, SEED),
    ),
    slow(
        personalization.fine_tune,
        weights=(WEIGHTS, BAD_WEIGHTS),
        batches=(BATCHES, instance(DATASET, [1], BATCHES.repeat())),
        create_fn=(tiny.create_model, CALLABLE),
        learning_rate=(0.5, NOT_NEGATIVE),
    ),
)

EVALUATION_CALLS = (
    slow(
        evaluation.build_evaluate_fn,
        model=(MODEL, MODEL_KIND),
        client_data=(DATA, CLIENT_DATA),
        client_ids=(DATA.client_ids, optional(KNOWN)),
        prefix=("eval_", TEXT),
    ),
    slow(
        evaluation.predict,
        weights=(WEIGHTS, BAD_WEIGHTS),
        client_data=(DATA, CLIENT_DATA),
        client_ids=(DATA.client_ids, optional(KNOWN)),
        create_fn=(tiny.create_model, CALLABLE),
    ),
    call(
        evaluation.per_client,
        predictions=(PREDICTIONS, table(PREDICTIONS, "client_id", "label", "prediction", "loss")),
    ),
    call(evaluation.accuracy, predictions=(PREDICTIONS, table(PREDICTIONS, "label", "prediction"))),
    call(
        evaluation.confusion_matrix,
        predictions=(PREDICTIONS, table(PREDICTIONS, "label", "prediction")),
        num_classes=(10, COUNT),
    ),
    call(
        evaluation.fairness,
        client_accuracies=(
            [0.5, 1.0],
            instance(
                [], [85, 90], [0.5, NAN], ["0.5", "1"], [None, 0.5], [True, False], [[0.5, 1.0]]
            ),
        ),
        worst_fraction=(0.5, SHARE),
    ),
)

TRAINING_CALLS = (
    slow(
        training.run_rounds,
        process=(tiny.build_process(), instance(MODEL, tiny.build_process)),
        cohort_fn=(tiny.COHORT_FN, CALLABLE),
        num_rounds=(1, COUNT),
        evaluate_fn=(lambda round_num, weights: {}, optional(CALLABLE)),
        initial_weights=(WEIGHTS, optional(BAD_WEIGHTS)),
        callbacks=(
            [],
            optional(
                instance([5], [training.Evaluate], {"a": 1}, training.ProgressBar()).without([])
            ),
        ),
    ),
    call(training.Evaluate, evaluate_fn=(dict, CALLABLE), every=(2, COUNT)),
    call(
        training.EarlyStopping,
        name=("accuracy", TEXT),
        target=(0.5, optional(NUMBER)),
        patience=(2, optional(COUNT)),
    ),
    call(training.CsvLog, path=("runs.csv", PATH)),
    call(training.TensorBoardLog, folder=("logs", PATH)),
    call(training.weights_bytes, weights=(WEIGHTS, instance("ab", [None], ["a"]))),
)
