r"""The text of a client's update to a transformer, read by a curious server.

A token's row and its place's row are added before the first block. So the gradient of the embedding is
$E = M P$: $P$ (t, width) the gradient of the places, $M$ (num_tokens, t) the one-hot text. With one
window and no more places than the width, $M = E P^+$ is the text itself, without any search. The rows of
$E$ that are not zero are the tokens that were there, in any case.

The gradient of the first attention's matrix is a sum of outer products of what came in. So what came in
lies in the span of its columns, and each pair of a token and a place can be tested on its own (DAGER,
Petrov et al., NeurIPS 2024). That reads several windows, as long as all their tokens together are fewer
than the width. Adapters (LoRA) leave the embedding alone, but the change of the first one's A, (width,
rank), lies in the same span: it reads windows that have together no more tokens than the rank.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from fedlab.checks import check_array, check_mapping, check_number

Arrays: TypeAlias = Mapping[str, np.ndarray]
_EMBEDDING, _PLACES, _ATTENTION, _ADAPTER = "embedding", "position", "0.qkv", "0.qkv.a"
_SMALLEST_NORM = 1e-5  # of the RMS norm, as in `fedlab.models.transformer`
_RANK_TOLERANCE = 1e-6  # of the largest singular value
_PSEUDO_INVERSE_TOLERANCE = 1e-7


def read_bag(update: Arrays) -> np.ndarray:
    """Returns the tokens that an update was made from, in any order and number of windows.

    Args:
        update: The change of the weights, or a gradient: arrays by name, among them "embedding",
            (num_tokens, width).

    Returns:
        The tokens' numbers, sorted: int64 (n,).

    Raises:
        ValueError: The update has no such array, as one of adapters has not.
    """
    embedding = _get(update, _EMBEDDING)
    return np.flatnonzero(np.abs(embedding).max(axis=1) > 0)


def read_window(update: Arrays) -> np.ndarray:
    """Returns the text of an update that was made from one window: its tokens in their order.

    Args:
        update: The change of the weights after one or a few steps on the same window, or a gradient:
            "embedding", (num_tokens, width), and "position", (context, width).

    Returns:
        The tokens' numbers: int64 (context,). For an update from several windows they are wrong.

    Raises:
        ValueError: The update lacks an array, or the context is larger than the width.
    """
    embedding, places = _get(update, _EMBEDDING), _get(update, _PLACES)
    if len(places) > places.shape[1]:
        raise ValueError(
            f"update: The context must be at most the width, {places.shape[1]}. Found {len(places)}; "
            "use read_places."
        )
    inverse = np.linalg.pinv(places, rcond=_PSEUDO_INVERSE_TOLERANCE)
    return (embedding @ inverse).argmax(axis=0)


def read_places(
    update: Arrays, weights: Arrays, *, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which tokens may stand at which places of an update's windows.

    Args:
        update: The gradient, or the change after one step: "0.qkv", (width, 3 width); of adapters
            "0.qkv.a", (width, rank), after any number of steps: what comes in is frozen.
        weights: What the client began with: "embedding", "position" and "0.attention_norm"; of adapters
            these are the model's constants.
        tolerance: Share of a vector's length that may lie outside the span, above 0 and below 1.

    Returns:
        `(tokens, places)`: int64 (n,) both, the pairs that lie in the span. True ones are among them
        as long as all windows together have fewer tokens than the width, or, of adapters, no more than
        the rank; false ones may be. An update that is 0 gives none.

    Raises:
        ValueError: An array is missing, or the tolerance is out of range.
    """
    check_number("tolerance", tolerance, above=0, below=1)
    name = _ADAPTER if _ADAPTER in check_mapping("update", update) else _ATTENTION
    directions, sizes, _ = np.linalg.svd(_get(update, name))
    rank = int((sizes > sizes[0] * _RANK_TOLERANCE).sum())
    span = directions[:, :rank]
    embedding, places = _get(weights, _EMBEDDING, "weights"), _get(weights, _PLACES, "weights")
    gain = np.asarray(weights["0.attention_norm"], np.float64)
    vectors = embedding[:, None] + places[None]
    vectors /= np.sqrt((vectors**2).mean(axis=-1, keepdims=True) + _SMALLEST_NORM)
    vectors *= gain
    outside = vectors - (vectors @ span) @ span.T
    shares = np.linalg.norm(outside, axis=-1) / np.linalg.norm(vectors, axis=-1)
    tokens, found_places = np.nonzero(shares < tolerance)
    return tokens, found_places


def _get(arrays: Arrays, name: str, parameter: str = "update") -> np.ndarray:
    if name not in check_mapping(parameter, arrays):
        raise ValueError(
            f"{parameter} must have the array {name!r}. Found {', '.join(arrays)}: an update of adapters "
            "or of a head has nothing that this attack could read."
        )
    return check_array(f"{parameter}[{name!r}]", arrays[name], (None, None)).astype(np.float64)
