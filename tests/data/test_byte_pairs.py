"""Text becomes tokens and comes back, without loss."""

import numpy as np
import pytest

from fedlab import data
from fedlab.data import plays

ENGLISH = ["to be or not to be, that is the question:\n\nwhether 'tis nobler in the mind, 42 times"]
CHINESE = ["联邦学习让数据留在本地。", "模型在移动,数据不动。\n\n隐私\u3000\t保护"]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["English", "Chinese"])
@pytest.mark.parametrize("num_pairs", [0, 5])
def test_what_is_decoded_is_what_was_encoded(texts, num_pairs):
    characters = data.create_character_tokenizer(texts)
    tokenizer = characters
    if num_pairs:
        tokenizer = data.learn_byte_pairs(texts, characters.num_tokens + num_pairs)
    for text in texts:
        numbers = tokenizer.encode(text)
        assert numbers.dtype == np.int32
        assert tokenizer.decode(numbers) == text
        assert tokenizer.token_lengths[numbers].sum() == len(text)
    assert data.Tokenizer.from_json(tokenizer.to_json()).tokens == tokenizer.tokens


def test_the_most_frequent_pair_is_merged_first_and_ties_have_an_order():
    tokenizer = data.learn_byte_pairs(["aab aab ab"], 3 + 2)
    # By hand: "ab" three times, "aa" and " a" twice each; then " a" + "ab" beats "a" + "ab".
    assert tokenizer.tokens == [" ", "a", "b", "ab", "aab"]
    assert tokenizer.encode("aab ab").tolist() == [4, 0, 3]


def test_numerals_are_never_merged():
    tokenizer = data.learn_byte_pairs(["code 11 code 11 code 11 "], 9)
    assert not any(token.strip().isdigit() and len(token) > 1 for token in tokenizer.tokens)


def test_the_plays_tokens_spell_every_role():
    tokenizer = data.load_byte_pairs()
    assert tokenizer.num_tokens == 512
    for text in list(plays.load_roles().values())[::20]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match="has the character 'é', which is not in the alphabet"):
        data.create_character_tokenizer(["face"]).encode("café")


def test_more_tokens_than_pairs_are_refused():
    with pytest.raises(
        ValueError, match="num_tokens must be at most 3, for the texts have no more"
    ):
        data.learn_byte_pairs(["ab"], 10)
    with pytest.raises(ValueError, match="num_tokens must be"):
        data.learn_byte_pairs(["abc"], 2)


@pytest.mark.parametrize(
    "alphabet, merges, message",
    [
        ("", [], "at least one character"),
        ("aa", [], "each once"),
        ("ab", [("a", "x")], "tokens that are there before them"),
        ("ab", [("a", "b", "a")], "must be pairs of tokens"),
    ],
)
def test_a_tokenizer_that_cannot_be_is_refused(alphabet, merges, message):
    with pytest.raises(ValueError, match=message):
        data.Tokenizer(alphabet, merges)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_that_is_no_token_is_refused(number):
    with pytest.raises(ValueError, match="numbers must lie between 0 and 2"):
        data.Tokenizer("abc").decode([number])
