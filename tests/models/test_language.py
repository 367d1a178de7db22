"""The language model: causal, the same on TFF's own runtime, and no more goes up than trains."""

import math

import numpy as np
import pytest
import tensorflow as tf

from fedlab import data, evaluation, learning, run_rounds, runtime
from fedlab.data import preprocessing, sampling
from fedlab.models import adapters, language_base
from fedlab.models.language import LanguageModel
from fedlab.models.language_shapes import apply_weights, create_weights
from fedlab.models.lstm import LstmShape, apply_lstm, create_lstm
from fedlab.models.transformer import TransformerShape, create_transformer
from fedlab.training import Checkpoint

SHAPE = TransformerShape(width=8, num_layers=1, num_heads=2, context=6, num_tokens=5)
TEXTS = {"ann": "abcde" * 20, "bob": "edcba" * 20, "eve": "aabbccddee" * 10}
TOKENIZER = data.Tokenizer("abcde")
TRAIN, TEST = data.from_texts(TEXTS, TOKENIZER, context=6)
BASE = create_transformer(SHAPE, seed=1)
LSTM = LstmShape(width=4, num_units=3, context=6, num_tokens=5)
RECURRENT = create_lstm(LSTM, seed=1)
BUILDERS = {
    "full": adapters.build_full_model,
    "head": adapters.build_head_model,
    "lora": lambda shape, base: adapters.build_lora_model(shape, base, rank=2),
}


def train(model, num_rounds=3, process_fn=learning.build_fed_avg, **options):
    cohort_fn = preprocessing.build_cohort_fn(
        TRAIN, sampling.fixed(TRAIN.client_ids), preprocessing.Preprocessing(batch_size=4)
    )
    process = process_fn(model.build_tff_model(), client_learning_rate=0.5)
    return run_rounds(process, cohort_fn, num_rounds, callbacks=[], **options)


def test_the_published_sizes_have_the_published_numbers_of_parameters():
    for name, num_params in (("main", 168_768), ("small", 60_064), ("lstm", 197_632)):
        shape, weights = language_base.load_base(name)
        assert shape == language_base.SHAPES[name]
        assert sum(array.size for array in weights.values()) == num_params
        created = create_weights(shape)
        assert {k: v.shape for k, v in created.items()} == {k: v.shape for k, v in weights.items()}


@pytest.mark.parametrize("shape, weights", [(SHAPE, BASE), (LSTM, RECURRENT)])
def test_a_place_sees_nothing_that_comes_after_it(shape, weights):
    tokens = np.array([[0, 1, 2, 3, 4, 0]], np.int32)
    changed = tokens.copy()
    changed[0, 4] = 1
    first, second = (
        apply_weights(weights, tf.constant(t), shape).numpy() for t in (tokens, changed)
    )
    assert np.array_equal(first[:, :4], second[:, :4])
    assert not np.allclose(first[:, 4:], second[:, 4:])
    shorter = apply_weights(weights, tf.constant(tokens[:, :3]), shape).numpy()
    np.testing.assert_allclose(shorter, first[:, :3], atol=1e-6)


def test_the_lstm_is_that_of_keras():
    tokens = np.random.default_rng(0).integers(0, 5, (3, 6))
    layer = tf.keras.layers.LSTM(LSTM.num_units, return_sequences=True)
    embedded = tf.gather(RECURRENT["embedding"], tokens)
    layer.build(embedded.shape)
    for_inputs, for_units = np.split(RECURRENT["gates"], [LSTM.width])
    layer.set_weights([for_inputs, for_units, RECURRENT["gates_bias"]])
    expected = layer(embedded).numpy() @ RECURRENT["head"] + RECURRENT["bias"]
    logits = apply_lstm(RECURRENT, tf.constant(tokens, tf.int32), LSTM)
    np.testing.assert_allclose(logits, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["lora", "head"])
def test_before_any_training_it_is_the_base_bit_for_bit(name):
    model = BUILDERS[name](SHAPE, BASE)
    merged = model.merge(list(model.trainable.values()))
    assert list(merged) == list(BASE)
    assert all(np.array_equal(merged[key], BASE[key]) for key in BASE)


@pytest.mark.parametrize("name", BUILDERS)
def test_only_what_trains_is_sent_and_only_that_changes(name):
    model = BUILDERS[name](SHAPE, BASE)
    run = train(model)
    frame = run.to_frame()
    assert (frame.bytes_up == 3 * 4 * model.num_trainable).all()
    assert (frame.bytes_down == frame.bytes_up).all()
    assert frame.loss.iloc[-1] < frame.loss.iloc[0]
    changed = {key for key, array in model.merge(run.weights).items() if (array != BASE[key]).any()}
    large = {f"0.{part}" for part in ("qkv", "out", "up", "down")}
    assert changed == {"full": set(BASE), "head": set(adapters.HEAD), "lora": large}[name]


@pytest.mark.parametrize("name", [*BUILDERS, "lstm"])
def test_the_local_runtime_gives_what_tff_s_own_gives(name):
    is_recurrent = name == "lstm"
    shape, base = (LSTM, RECURRENT) if is_recurrent else (SHAPE, BASE)
    model = BUILDERS["full" if is_recurrent else name](shape, base)
    process = learning.build_fed_avg(model.build_tff_model(), client_learning_rate=0.5)
    cohort_fn = preprocessing.build_cohort_fn(TRAIN, sampling.fixed(TRAIN.client_ids))
    results = []
    for kind in ("local", "tff"):
        with runtime.compile(process, kind) as runner:
            run = run_rounds(runner, cohort_fn, 2, callbacks=[])
            results.append([np.asarray(array) for array in run.weights.trainable])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["full", "lora"])
def test_the_main_model_too_gives_what_tff_s_own_runtime_gives(name):
    shape, base = language_base.load_base("main")
    model = BUILDERS[name](shape, base)
    process = learning.build_fed_avg(model.build_tff_model(), client_learning_rate=0.2)
    train, _ = data.load("plays")
    some = train.select(["hamlet/HAMLET", "macbeth/MACBETH"])
    options = preprocessing.Preprocessing(batch_size=8, max_examples=16, shuffle=True, seed=0)
    cohort_fn = preprocessing.build_cohort_fn(some, sampling.fixed(some.client_ids), options)
    results = []
    for kind in ("local", "tff"):
        with runtime.compile(process, kind) as runner:
            run = run_rounds(runner, cohort_fn, 2, callbacks=[])
            results.append([np.asarray(array) for array in run.weights.trainable])
    moved = max(
        np.abs(a - b).max() for a, b in zip(model.trainable.values(), results[0], strict=True)
    )
    largest = max(np.abs(a - b).max() for a, b in zip(*results, strict=True))
    assert moved > 1e-3 and largest < 1e-6


@pytest.mark.parametrize("name", BUILDERS)
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(name, tmp_path):
    model = BUILDERS[name](SHAPE, BASE)
    options = {"batch_size": 4, "shuffle": True, "seed": 3}
    cohort_fn = preprocessing.build_cohort_fn(
        TRAIN, sampling.uniform(TRAIN.client_ids, 2, seed=1), preprocessing.Preprocessing(**options)
    )
    with runtime.compile(learning.build_fed_avg(model.build_tff_model())) as runner:
        whole = run_rounds(runner, cohort_fn, 4, callbacks=[])
        run_rounds(runner, cohort_fn, 2, callbacks=[Checkpoint(tmp_path)])
        resumed = run_rounds(runner, cohort_fn, 4, callbacks=[Checkpoint(tmp_path)])
    assert [record["round_num"] for record in resumed.records] == [1, 2, 3, 4]
    for ours, theirs in zip(whole.weights.trainable, resumed.weights.trainable, strict=True):
        assert np.array_equal(ours, theirs)


def test_evaluation_and_bits_say_the_same():
    model = adapters.build_full_model(SHAPE, BASE)
    run = train(model, num_rounds=2)
    evaluate_fn = evaluation.build_evaluate_fn(model.build_tff_model(), TEST)
    nats = evaluate_fn(2, run.weights)["eval_loss"]
    arrays = model.merge(run.weights)
    bits = model.bits_per_character(arrays, TEST, TOKENIZER)  # each token is a character here
    assert bits == pytest.approx(nats / math.log(2), rel=1e-5)
    assert model.bits_per_character(arrays, TEST, TOKENIZER, max_windows=1) != bits


def test_a_text_goes_on_as_the_model_has_learned_and_repeats_with_its_seed():
    model = adapters.build_full_model(SHAPE, BASE)
    cohort_fn = preprocessing.build_cohort_fn(
        TRAIN, sampling.fixed(["ann"]), preprocessing.Preprocessing(batch_size=2, num_epochs=5)
    )
    process = learning.build_fed_avg(model.build_tff_model(), client_learning_rate=0.5)
    arrays = model.merge(run_rounds(process, cohort_fn, 20, callbacks=[]).weights)
    prompt = TOKENIZER.encode("abcabcdeabc")  # longer than the context
    said = model.generate(arrays, prompt, 8, temperature=0)
    assert TOKENIZER.decode(said) == "deabcdea"
    drawn = [model.generate(arrays, prompt, 30, temperature=3, seed=s).tolist() for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_base_knows_the_plays_better_than_chance():
    shape, weights = language_base.load_base("small")
    model = adapters.build_full_model(shape, weights)
    unseen = data.load_unseen_roles()[1]
    few = unseen.select(unseen.client_ids[:5])
    bits = model.bits_per_character(weights, few, data.load_byte_pairs(), max_windows=4)
    assert bits < 2.7 < math.log2(512) / 2.3


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: TransformerShape(width=10, num_heads=4), "multiple of num_heads, 4. Found 10"),
        (lambda: TransformerShape(num_layers=0), "num_layers must be"),
        (lambda: LstmShape(num_units=0), "num_units must be"),
        (lambda: LanguageModel(SHAPE, {}), "trainable must have at least one"),
        (lambda: adapters.build_full_model(LSTM, BASE), "the arrays of create_lstm"),
        (lambda: adapters.build_lora_model(SHAPE, BASE, rank=0), "rank must be"),
        (lambda: adapters.build_lora_model(SHAPE, BASE, targets="head"), "targets must be"),
        (lambda: adapters.build_lora_model(SHAPE, BASE, scale=0), "scale must be"),
        (lambda: language_base.load_base("huge"), "name must be"),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
