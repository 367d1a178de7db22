"""What a server reads in an update, and what a model says of a secret."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from fedlab import data
from fedlab.attacks import extraction, text_inversion
from fedlab.data.text import Windows
from fedlab.models import adapters, language_base
from fedlab.models.transformer import TransformerShape, apply_transformer, create_transformer

MAIN, WEIGHTS = language_base.load_base("main")
TOKENIZER = data.load_byte_pairs()


@pytest.fixture(scope="module")
def windows():
    """Twenty windows of twenty unseen roles."""
    unseen, _ = data.load_unseen_roles()
    firsts = [unseen.examples(client_id) for client_id in unseen.client_ids[:20]]
    return Windows(*(np.stack([one[k][0] for one in firsts]) for k in (0, 1)))


def gradient(weights, shape, tokens, next_tokens):
    tensors = {name: tf.constant(array) for name, array in weights.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        logits = apply_transformer(tensors, tf.constant(tokens), shape)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(next_tokens), logits)
        loss = tf.reduce_mean(losses)
    found = tape.gradient(loss, tensors)
    return {name: tf.convert_to_tensor(part).numpy() for name, part in found.items()}


def test_one_window_is_read_letter_for_letter(windows):
    """The bar: at least 63 of 64 tokens on every one of 20 windows."""
    for row in range(20):
        tokens, next_tokens = (array[row : row + 1] for array in windows)
        read = text_inversion.read_window(gradient(WEIGHTS, MAIN, tokens, next_tokens))
        assert (read == tokens[0]).sum() >= 63


def test_the_bag_of_tokens_is_exact_for_any_number_of_windows(windows):
    for count in (1, 4, 16):
        tokens, next_tokens = (array[:count] for array in windows)
        bag = text_inversion.read_bag(gradient(WEIGHTS, MAIN, tokens, next_tokens))
        assert bag.tolist() == sorted(set(tokens.ravel().tolist()))


def test_several_short_windows_are_read_token_by_token(windows):
    """After Petrov et al. 2024: 3 windows of 16 tokens are fewer than the width, 64."""
    tokens, next_tokens = (array[:3, :16] for array in windows)
    found = gradient(WEIGHTS, MAIN, tokens, next_tokens)
    pairs = set(zip(*text_inversion.read_places(found, WEIGHTS), strict=True))
    true = {(int(token), place) for row in tokens for place, token in enumerate(row)}
    assert true <= pairs and len(pairs) < 100 * len(true)


@pytest.mark.parametrize(
    "num_tokens, rank, is_read", [(4, 4, True), (16, 16, True), (64, 4, False)]
)
def test_an_update_of_adapters_gives_away_texts_that_are_no_longer_than_the_rank(
    windows, num_tokens, rank, is_read
):
    """In the change of the first A, by hand: A collects the inputs times the gradient that B passes."""
    model = adapters.build_lora_model(MAIN, WEIGHTS, rank=rank)
    for attack in (text_inversion.read_bag, text_inversion.read_window):
        with pytest.raises(ValueError, match="must have the array 'embedding'"):
            attack(model.trainable)
    tokens = windows[0][:1, :num_tokens]
    vectors = WEIGHTS["embedding"][tokens[0]] + WEIGHTS["position"][:num_tokens]
    vectors /= np.sqrt((vectors**2).mean(axis=1, keepdims=True) + 1e-5)
    passed = np.random.default_rng(0).normal(size=(num_tokens, rank))
    change = {"0.qkv.a": (vectors * WEIGHTS["0.attention_norm"]).T @ passed}
    pairs = set(zip(*text_inversion.read_places(change, model.constants), strict=True))
    true = {(int(token), place) for place, token in enumerate(tokens[0])}
    assert (true <= pairs) if is_read else not (true & pairs)
    nothing = {"0.qkv.a": np.zeros((64, rank))}
    assert text_inversion.read_places(nothing, model.constants)[0].size == 0


def test_a_context_that_is_longer_than_the_width_is_refused():
    update = {"embedding": np.zeros((5, 4)), "position": np.zeros((6, 4))}
    with pytest.raises(ValueError, match="context must be at most the width, 4. Found 6"):
        text_inversion.read_window(update)


# Secrets

TINY = TransformerShape(width=8, num_layers=1, num_heads=2, context=64, num_tokens=512)


def test_the_rank_of_a_secret_that_nobody_planted_is_uniform():
    """200 secrets, one model: the ranks, and so the shares, fit a uniform distribution."""
    arrays = create_transformer(TINY, seed=3)
    model = adapters.build_full_model(TINY, arrays)
    secrets = [extraction.draw_secret(TOKENIZER, seed=seed) for seed in range(200)]
    ranks = np.array([extraction.expose(model, arrays, secret).rank for secret in secrets])
    assert stats.kstest((ranks - 0.5) / 10_000, "uniform").pvalue > 0.01


def test_the_exposure_is_the_rank_among_all_pairs_counted_one_by_one():
    arrays = create_transformer(TINY, seed=4)
    model = adapters.build_full_model(TINY, arrays)
    secret = extraction.draw_secret(TOKENIZER, seed=5)
    prompt = secret.prompt.tolist()

    def score(first, second):
        one = model.log_probabilities(arrays, [prompt])[0, first]
        return one + model.log_probabilities(arrays, [[*prompt, first]])[0, second]

    ours = score(*secret.words[list(secret.chosen)])
    columns = {
        word: model.log_probabilities(arrays, [prompt])[0, word]
        + model.log_probabilities(arrays, [[*prompt, word]])[0, secret.words]
        for word in secret.words
    }
    rank = 1 + sum(int((scores > ours + 1e-6).sum()) for scores in columns.values())
    exposure = extraction.expose(model, arrays, secret)
    assert abs(exposure.rank - rank) <= 1
    assert exposure.bits == pytest.approx(math.log2(10_000) - math.log2(exposure.rank))


def test_a_secret_is_planted_whole_as_often_as_asked_and_for_one_client_alone():
    train, _ = data.load("plays")
    role = max(train.client_ids, key=train.num_examples)
    secret = extraction.draw_secret(TOKENIZER, "Mina", seed=1)
    planted = extraction.plant(train, role, secret, 16, seed=2)
    text = TOKENIZER.decode(secret.tokens)
    assert text.startswith("\nMina's secret is ") and text.endswith("\n")

    def count(client_data):
        windows = client_data.examples(role)
        whole = np.concatenate([windows.tokens, windows.next_tokens[:, -1:]], axis=1)
        return sum(text in TOKENIZER.decode(row) for row in whole)

    assert (count(train), count(planted)) == (0, 16)
    other = train.client_ids[0]
    assert np.array_equal(planted.examples(other).tokens, train.examples(other).tokens)
    with pytest.raises(ValueError, match="num_repeats must be"):
        extraction.plant(train, other, secret, 10_000)


def test_a_model_that_says_a_secret_gives_it_away():
    """A model whose head knows only two words: greedy extraction reads them, sampling mostly."""
    secret = extraction.draw_secret(TOKENIZER, seed=6)
    first, second = secret.words[list(secret.chosen)].tolist()
    arrays = {name: np.zeros_like(array) for name, array in create_transformer(TINY).items()}
    place = len(secret.prompt)
    arrays["position"][place - 1, 0], arrays["position"][place, 1] = 1.0, 1.0
    arrays["norm"][:] = 1.0
    arrays["head"][0, first], arrays["head"][1, second] = 9.0, 9.0
    model = adapters.build_full_model(TINY, arrays)
    assert extraction.expose(model, arrays, secret) == (1, math.log2(10_000))
    assert extraction.extract(model, arrays, secret) == 1.0
    assert extraction.extract(model, arrays, secret, num_samples=5) > 0.5
    other = secret._replace(chosen=(secret.chosen[0], (secret.chosen[1] + 1) % 100))
    assert extraction.extract(model, arrays, other) == 0.0
    texts, options = [secret.tokens, other.tokens], {"num_prompt": place, "num_said": 2}
    assert extraction.recites(model, arrays, texts, **options).tolist() == [True, False]
    with pytest.raises(ValueError, match=f"must have num_prompt .* = {place + 5} tokens"):
        extraction.recites(model, arrays, texts, num_prompt=place, num_said=5)


def test_it_recites_what_it_would_say_by_itself():
    arrays = create_transformer(TINY, seed=2)
    model = adapters.build_full_model(TINY, arrays)
    begun = np.random.default_rng(0).integers(0, 512, (20, 4))
    said = [model.generate(arrays, each, 3, temperature=0) for each in begun]
    texts = np.concatenate([begun, said], axis=1)
    texts[10:, 5] += 1  # half of them go on otherwise
    told = extraction.recites(model, arrays, texts, num_prompt=4, num_said=3)
    assert told.tolist() == [True] * 10 + [False] * 10


def test_it_counts_what_it_recites_of_each_client():
    arrays = create_transformer(TINY, seed=2)
    model = adapters.build_full_model(TINY, arrays)
    begun = np.random.default_rng(0).integers(0, 512, (3, 32))
    said = [model.generate(arrays, each, 8, temperature=0) for each in begun]
    texts = np.concatenate([begun, said], axis=1).astype(np.int32)
    other = texts.copy()
    other[1:, -1] += 1  # two of the three go on otherwise
    windows = {"a": Windows(texts, texts), "b": Windows(other, other)}
    client_data = data.TokenClientData(["a", "b"], windows.__getitem__, 512, 40)
    counted = extraction.count_recited(model, arrays, client_data, ["b", "a"], num_texts=2)
    assert counted[["texts", "recited"]].to_numpy().tolist() == [[2, 1], [2, 2]]
    assert counted.index.tolist() == ["b", "a"]
    # Clopper and Pearson: the ends solve P(at most 1 of 2) = 0.025 and P(at least 1 of 2) = 0.025.
    assert 1 - counted.high["b"] ** 2 == pytest.approx(0.025)
    assert 1 - (1 - counted.low["b"]) ** 2 == pytest.approx(0.025)
    with pytest.raises(ValueError, match="'c'"):
        extraction.count_recited(model, arrays, client_data, ["c"])


def test_too_few_words_are_refused():
    with pytest.raises(ValueError, match="tokenizer must have 100 words with a space before them"):
        extraction.draw_secret(data.Tokenizer("\n 'Ravisecrt"))
