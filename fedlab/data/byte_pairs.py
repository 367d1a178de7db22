"""Text as tokens: characters, or byte-pair encoding (Sennrich, Haddow, Birch 2016)."""

import functools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fedlab.checks import check_count, check_labels, check_list, check_text, describe

# What is never merged across: words, runs of line ends, single numerals, runs of other marks.
_PIECES = re.compile(r" ?[A-Za-z']+|\n+| ?[0-9]| ?[^\sA-Za-z0-9']+|\s")
_FILE = "byte_pairs.json"  # of the plays


class Tokenizer:
    """Turns text into numbers of tokens and back, without loss.

    Args:
        alphabet: The characters that texts may have, all different.
        merges: Pairs of tokens that become one, in the order in which they are merged. None: each
            character is a token.

    Attributes:
        tokens: The text of each token; its place is its number.

    Raises:
        TypeError: The alphabet or a merge is no text.
        ValueError: A character is there twice, or a merge needs a token that is not there.

    Example:
        >>> tokenizer = Tokenizer(" adn", [("a", "n"), ("an", "d")])
        >>> tokenizer.encode("and a").tolist()
        [5, 0, 1]
    """

    def __init__(self, alphabet: str, merges: Iterable[Sequence[str]] = ()):
        self.tokens = list(check_text("alphabet", alphabet))
        if len(set(self.tokens)) < len(self.tokens) or not self.tokens:
            raise ValueError(
                f"alphabet must have at least one character, each once. Found {describe(alphabet)}."
            )
        self._alphabet = frozenset(self.tokens)
        self._ranks: dict[tuple[str, str], int] = {}
        known = set(self.tokens)
        for pair in check_list("merges", merges):
            parts = [check_text("merges", part) for part in check_list("merges", pair)]
            if len(parts) != 2 or not set(parts) <= known:
                raise ValueError(
                    f"merges must be pairs of tokens that are there before them. Found {describe(pair)}."
                )
            first, second = parts
            known.add(first + second)
            self._ranks[first, second] = len(self._ranks)
            self.tokens.append(first + second)
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        self._encode_piece = functools.lru_cache(maxsize=1 << 16)(self._merge)

    @property
    def num_tokens(self) -> int:
        """Number of tokens; their numbers lie in [0, num_tokens)."""
        return len(self.tokens)

    @property
    def token_lengths(self) -> np.ndarray:
        """Number of characters of each token: int64 (num_tokens,)."""
        return np.array([len(token) for token in self.tokens])

    def encode(self, text: str) -> np.ndarray:
        """Returns the numbers of a text's tokens: int32 (n,).

        Args:
            text: Text of the alphabet's characters.

        Raises:
            ValueError: A character is not in the alphabet; the message names it.
        """
        unknown = set(check_text("text", text)) - self._alphabet
        if unknown:
            raise ValueError(
                f"text has the character {min(unknown, key=text.index)!r}, which is not in the alphabet. Remove it, or "
                "make a tokenizer from texts that have it."
            )
        pieces = _PIECES.findall(text)
        return np.array([n for piece in pieces for n in self._encode_piece(piece)], np.int32)

    def decode(self, numbers: npt.ArrayLike) -> str:
        """Returns the text of tokens.

        Args:
            numbers: Their numbers: int (n,), in [0, num_tokens).

        Raises:
            ValueError: A number is no token's.
        """
        checked = check_labels("numbers", numbers, num_classes=self.num_tokens)
        return "".join(self.tokens[number] for number in checked)

    def _merge(self, piece: str) -> tuple[int, ...]:
        parts = list(piece)
        while len(parts) > 1:
            pairs = list(pairwise(parts))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            place = pairs.index(best)
            parts[place : place + 2] = ["".join(best)]
        return tuple(self._numbers[part] for part in parts)

    def to_json(self) -> str:
        """Returns the tokenizer as text for `Tokenizer.from_json`."""
        alphabet = "".join(sorted(self._alphabet, key=self.tokens.index))
        return json.dumps({"alphabet": alphabet, "merges": [list(pair) for pair in self._ranks]})

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """Returns a tokenizer that `to_json` has written.

        Args:
            text: The text.
        """
        stored = json.loads(check_text("text", text))
        return cls(stored["alphabet"], stored["merges"])


def create_character_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Returns a tokenizer in which each character of some texts is a token, sorted.

    For scripts whose characters say much each, such as Chinese, this is a good choice.

    Args:
        texts: The texts; others may then have no other characters.

    Raises:
        ValueError: They have no characters.
    """
    return Tokenizer("".join(sorted({letter for text in _check_texts(texts) for letter in text})))


def learn_byte_pairs(texts: Iterable[str], num_tokens: int) -> Tokenizer:
    """Learns the most frequent pairs of tokens, one after the other (Sennrich et al. 2016).

    Numerals are never merged, so that a number is spelled. Of two pairs that are equally frequent the
    one that sorts last is taken, so the same texts give the same tokens.

    Args:
        texts: The texts to learn from.
        num_tokens: How many tokens there are in the end, more than the texts have characters.

    Raises:
        TypeError: `num_tokens` is not a whole number.
        ValueError: `num_tokens` is too small, or the texts have not so many pairs.
    """
    pieces = Counter(piece for text in _check_texts(texts) for piece in _PIECES.findall(text))
    tokenizer = create_character_tokenizer(list(pieces))
    num_merges = check_count("num_tokens", num_tokens, at_least=tokenizer.num_tokens)
    parts = {piece: list(piece) for piece in pieces}
    counts: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for piece in pieces:
        _count(parts[piece], piece, pieces[piece], counts, places)
    merges: list[tuple[str, str]] = []
    while len(merges) < num_merges - tokenizer.num_tokens:
        if not (best := _find_best(counts)):
            raise ValueError(
                f"num_tokens must be at most {tokenizer.num_tokens + len(merges)}, for the texts have "
                f"no more pairs. Found {num_tokens}."
            )
        merges.append(best)
        for piece in sorted(places[best]):
            _count(parts[piece], piece, -pieces[piece], counts, places)
            parts[piece] = _join(parts[piece], best)
            _count(parts[piece], piece, pieces[piece], counts, places)
        del counts[best]
    return Tokenizer("".join(tokenizer.tokens), merges)


def _check_texts(texts: Iterable[str]) -> list[str]:
    listed = [check_text("texts", text) for text in check_list("texts", texts)]
    if not any(listed):
        raise ValueError("texts must have at least one character. Found none.")
    return listed


def _count(
    parts: list[str],
    piece: str,
    number: int,
    counts: Counter[tuple[str, str]],
    places: defaultdict[tuple[str, str], set[str]],
) -> None:
    """Adds a piece's pairs to the counts; a negative number takes them away."""
    for pair in pairwise(parts):
        if not any(part.strip().isdigit() for part in pair):
            counts[pair] += number
            places[pair].add(piece)


def _find_best(counts: Counter[tuple[str, str]]) -> tuple[str, str] | None:
    best = max(counts, key=lambda pair: (counts[pair], pair), default=None)
    return best if best and counts[best] > 0 else None


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


@functools.cache
def load_byte_pairs() -> Tokenizer:
    """Returns the 512 tokens of the plays, learned on the public ones (`fedlab.data.plays`)."""
    return Tokenizer.from_json(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
