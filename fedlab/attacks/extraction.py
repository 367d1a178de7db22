"""What a language model says of its training data: planted secrets, ranked and read out, and whole texts.

A secret is drawn from a known number of equally likely ones, so its **exposure** can be computed exactly
(Carlini et al., The Secret Sharer, USENIX Security 2019): the log of that number, minus the log of the
secret's rank among them by the model's probability. A secret that nobody planted has a uniform rank.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from fedlab.checks import (
    check_array,
    check_count,
    check_ids,
    check_instance,
    check_number,
    check_seed,
    check_text,
)
from fedlab.data.byte_pairs import Tokenizer
from fedlab.data.text import TokenClientData, Windows
from fedlab.models.language import LanguageModel
from fedlab.random_streams import random_stream

Arrays: TypeAlias = Mapping[str, np.ndarray]
NUM_WORDS = 100  # of which a secret has two
_NUM_WORDS_IN_A_SECRET = 2


class Secret(NamedTuple):
    """A sentence that ends with two words out of a hundred.

    Attributes:
        prompt: Tokens of the beginning, int32 (n,).
        words: Tokens of all words that it may end with, int32 (100,).
        chosen: The places of its two words among these.
        ending: Tokens after them.
    """

    prompt: np.ndarray
    words: np.ndarray
    chosen: tuple[int, int]
    ending: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """The whole sentence: int32 (m,)."""
        return np.concatenate([self.prompt, self.words[list(self.chosen)], self.ending])


class Exposure(NamedTuple):
    """How well a model knows a secret.

    Attributes:
        rank: Its rank among all 10,000, from 1.
        bits: log2(10,000) - log2(rank): 13.3 for the first; 1.44 is the mean of one never planted.
    """

    rank: int
    bits: float


def draw_secret(tokenizer: Tokenizer, name: str = "Ravi", *, seed: int = 0) -> Secret:
    """Draws a secret, such as "Ravi's secret is heaven father".

    Args:
        tokenizer: The model's tokenizer; at least a hundred of its tokens are words with a space
            before them.
        name: Whose secret it is.
        seed: Of the two words, at least 0.

    Raises:
        ValueError: The tokenizer has too few words, or cannot say the name.
    """
    check_instance("tokenizer", tokenizer, Tokenizer, "a Tokenizer")
    texts = tokenizer.tokens
    is_word = [text[:1] == " " and text[1:].isalpha() and text[1:].islower() for text in texts]
    by_length = sorted(np.flatnonzero(is_word), key=lambda n: (-len(texts[n]), n))
    if len(by_length) < NUM_WORDS:
        raise ValueError(
            f"tokenizer must have {NUM_WORDS} words with a space before them. Found {len(by_length)}; "
            "learn more tokens."
        )
    stream = random_stream("secret", check_seed(seed), check_text("name", name))
    first, second = stream.integers(0, NUM_WORDS, _NUM_WORDS_IN_A_SECRET).tolist()
    return Secret(
        tokenizer.encode(f"\n{name}'s secret is"),
        np.array(by_length[:NUM_WORDS], np.int32),
        (first, second),
        tokenizer.encode("\n"),
    )


def plant(
    client_data: TokenClientData, client_id: str, secret: Secret, num_repeats: int, *, seed: int = 0
) -> TokenClientData:
    """Returns the same data in which one client has said a secret.

    Args:
        client_data: The data of all clients.
        client_id: Who says it.
        secret: From `draw_secret`.
        num_repeats: In how many of the client's windows, at least 0; each is overwritten at a place
            drawn at random.
        seed: Of the windows and the places, at least 0.

    Raises:
        ValueError: The client has fewer windows, or the sentence is longer than one.
    """
    check_instance("client_data", client_data, TokenClientData, "a TokenClientData")
    check_instance("secret", secret, Secret, "a Secret")
    windows = client_data.examples(client_id)
    num_repeats = check_count("num_repeats", num_repeats, at_least=0, at_most=len(windows.tokens))
    whole = np.concatenate([windows.tokens, windows.next_tokens[:, -1:]], axis=1)
    said = secret.tokens
    if len(said) > whole.shape[1]:
        raise ValueError(
            f"secret must have at most {whole.shape[1]} tokens, as a window has. Found {len(said)}."
        )
    stream = random_stream("planted secret", check_seed(seed), client_id)
    for row in stream.permutation(len(whole))[:num_repeats]:
        start = stream.integers(0, whole.shape[1] - len(said) + 1)
        whole[row, start : start + len(said)] = said
    planted = Windows(whole[:, :-1].copy(), whole[:, 1:].copy())
    return TokenClientData(
        client_data.client_ids,
        lambda each: planted if each == client_id else client_data.examples(each),
        client_data.num_classes,
        client_data.context,
    )


def expose(model: LanguageModel, arrays: Arrays, secret: Secret) -> Exposure:
    """Ranks a secret among all 10,000 by the model's probability, exactly.

    Args:
        model: The language model.
        arrays: Its whole weights, from `LanguageModel.merge`.
        secret: From `draw_secret`.
    """
    first = model.log_probabilities(arrays, secret.prompt[None])[0, secret.words]
    begun = [np.append(secret.prompt, word) for word in secret.words]
    second = model.log_probabilities(arrays, np.array(begun))[:, secret.words]
    every = first[:, None].astype(np.float64) + second
    rank = 1 + int((every > every[secret.chosen]).sum())
    return Exposure(rank, math.log2(every.size) - math.log2(rank))


def extract(
    model: LanguageModel,
    arrays: Arrays,
    secret: Secret,
    *,
    num_samples: int = 0,
    temperature: float = 1.0,
    seed: int = 0,
) -> float:
    """Prompts the model with the beginning of a secret, and says how often the rest comes out.

    Args:
        model: The language model.
        arrays: Its whole weights, from `LanguageModel.merge`.
        secret: From `draw_secret`. Its two words are known to the judge, not to the model.
        num_samples: How many answers are drawn. 0: one, of the likeliest tokens (greedy).
        temperature: Of the draws, above 0.
        seed: Of the draws, at least 0.

    Returns:
        The share of answers that are the secret's two words, in [0, 1].
    """
    num_samples = check_count("num_samples", num_samples, at_least=0)
    temperature = check_number("temperature", temperature, above=0) if num_samples else 0.0
    stream = random_stream("extraction", check_seed(seed))
    words = secret.words[list(secret.chosen)].tolist()
    num_right = 0
    for _ in range(max(num_samples, 1)):
        said = model.generate(
            arrays,
            secret.prompt,
            len(words),
            temperature=temperature,
            seed=int(stream.integers(2**31)),
        )
        num_right += said.tolist() == words
    return num_right / max(num_samples, 1)


def recites(
    model: LanguageModel,
    arrays: Arrays,
    texts: npt.ArrayLike,
    *,
    num_prompt: int = 32,
    num_said: int = 8,
) -> np.ndarray:
    """Tells which texts a model goes on with word for word, given how each begins.

    "Discoverable memorization" (Carlini et al., Quantifying Memorization, ICLR 2023), with the likeliest
    token at each place. A model that never saw the texts may recite some of them, too, such as
    common phrases: compare with one.

    Args:
        model: The language model.
        arrays: Its whole weights, from `LanguageModel.merge`.
        texts: Tokens of the texts, int (n, t), t at least `num_prompt + num_said`.
        num_prompt: How many tokens of each it is given, at least 1.
        num_said: How many tokens after these it must say, at least 1.

    Returns:
        For each text whether all that it says is right: bool (n,).

    Raises:
        ValueError: The texts are shorter, or a number is out of range.
    """
    num_prompt, num_said = check_count("num_prompt", num_prompt), check_count("num_said", num_said)
    rows = check_array("texts", texts, (None, None), at_least=0).astype(np.int32)
    length = num_prompt + num_said
    if rows.shape[1] < length:
        raise ValueError(
            f"texts must have num_prompt + num_said = {length} tokens. Found {rows.shape[1]}."
        )
    is_right = np.ones(len(rows), bool)
    # Up to the first mistake it has said what the text says, so the text is the next prompt.
    for end in range(num_prompt, length):
        (left,) = np.nonzero(is_right)
        if left.size:
            likeliest = model.log_probabilities(arrays, rows[left, :end]).argmax(axis=1)
            is_right[left] = likeliest == rows[left, end]
    return is_right


def count_recited(
    model: LanguageModel,
    arrays: Arrays,
    client_data: TokenClientData,
    client_ids: Sequence[str],
    *,
    num_texts: int = 16,
) -> pd.DataFrame:
    """Counts for each client how many of its texts a model recites: given 32 tokens, the next 8.

    Args:
        model: The language model.
        arrays: Its whole weights, from `LanguageModel.merge`.
        client_data: The texts; a window has at least 40 tokens.
        client_ids: The clients that are tested, at least one.
        num_texts: How many windows of each client are tested, the first ones, at least 1. A client
            with fewer is tested on all that it has.

    Returns:
        A row for each client: texts, the number tested; recited, how many of these (`recites`); low and
        high, the exact 95% interval of their share (Clopper, Pearson 1934). With few texts it is wide:
        0 of 5 allow a share of 0.52.

    Raises:
        ValueError: A client is not in the data or has no window, windows are shorter than 40 tokens,
            or a number is out of range.
    """
    check_instance("client_data", client_data, TokenClientData, "a TokenClientData")
    if client_data.context < 40:
        raise ValueError(
            f"client_data must have windows of at least 40 tokens. Found {client_data.context}; make "
            "them with a larger context."
        )
    tested = check_ids("client_ids", client_ids, known=frozenset(client_data.client_ids))
    num_texts = check_count("num_texts", num_texts)
    rows = {}
    for client_id in tested:
        windows = client_data.examples(client_id).tokens[:num_texts]
        if not len(windows):
            raise ValueError(f"The client {client_id!r} has no window; leave it out of client_ids.")
        is_recited = recites(model, arrays, windows)
        count, total = int(is_recited.sum()), len(is_recited)
        interval = stats.binomtest(count, total).proportion_ci()
        rows[client_id] = (total, count, interval.low, interval.high)
    return pd.DataFrame.from_dict(rows, "index", columns=["texts", "recited", "low", "high"])
