"""Who takes part in a run of the study of language models, what was planted, and how a model is measured."""

from typing import Any

import numpy as np

from fedlab import data
from fedlab.attacks import extraction, membership
from fedlab.data import FederatedDataset
from fedlab.data.text import TokenClientData, Windows
from fedlab.experiments.central_training import Weights
from fedlab.experiments.language.settings import LanguageConfig
from fedlab.experiments.store import ProgressFn, Records
from fedlab.experiments.study import Row
from fedlab.models.adapters import build_full_model, build_head_model, build_lora_model
from fedlab.models.language import LanguageModel
from fedlab.models.language_base import load_base
from fedlab.random_streams import random_stream
from fedlab.training import DivergedError

NUM_CONTROLS = 20  # secrets of the same sentence that nobody said
NUM_SAMPLES = 100  # answers that are drawn to the secret's beginning
_CONTROL_SEED = 1_000_000
_NUM_SEEDS = 1_000  # secrets of two numbers have no seed in common
POOLED_ID = "everyone"


def build_model(config: LanguageConfig, seed: int) -> LanguageModel:
    """Returns the model whose arrays train as the configuration says.

    Args:
        config: Size, and what trains.
        seed: Of the adapters.
    """
    shape, base = load_base(config.size)
    if config.rank is not None:
        return build_lora_model(shape, base, rank=config.rank, seed=seed)
    return {"full": build_full_model, "head": build_head_model}[config.trained](shape, base)


class Judge:
    """Knows who takes part, what was planted, and measures a model.

    Args:
        config: The configuration.
        dataset: `fedlab.data.load("plays")`.
        seed: Of the run.
        progress_fn: Called with the share of the run that is done.

    Attributes:
        model: What trains.
        secret: The secret.
        owner: The client that says it.
        train: The clients' texts, with the secret planted.

    Raises:
        ValueError: The data set is one of images, or fewer take part than a round needs.
    """

    def __init__(
        self,
        config: LanguageConfig,
        dataset: FederatedDataset,
        seed: int,
        progress_fn: ProgressFn,
    ):
        self._config, self._seed, self._progress_fn = config, seed, progress_fn
        self._tokenizer = data.load_byte_pairs()
        self.model = build_model(config, seed)
        self._untouched = _choose_people(config, check_texts(dataset))
        self._left_out: TokenClientData | None = None
        if config.leaves_out_half:
            self._untouched, self._left_out = _halve(self._untouched, seed)
        self._later = dataset.test.select(self._untouched.client_ids)
        secret_seed = config.secret * _NUM_SEEDS + seed
        self.secret = extraction.draw_secret(self._tokenizer, seed=secret_seed)
        stream = random_stream("who says the secret", secret_seed)
        self.owner = str(stream.choice(self._untouched.client_ids))
        self.train = extraction.plant(
            self._untouched, self.owner, self.secret, config.num_repeats, seed=secret_seed
        )
        if config.is_pooled:
            self.train = _pool(self.train)
        self._records: Records = []

    def evaluate(self, round_num: int, weights: Any) -> dict[str, float]:
        """Adds a record of a model.

        Args:
            round_num: The last finished round.
            weights: The model's weights.

        Returns:
            What the round's record gets.

        Raises:
            DivergedError: The bits a character are not finite.
        """
        arrays = self.model.merge(weights)
        bits = self._bits(arrays, self._later)
        if not np.isfinite(bits):
            raise DivergedError(round_num, "the bits a character are not finite")
        exposure = extraction.expose(self.model, arrays, self.secret)
        record = {
            "round_num": round_num,
            "bits": bits,
            "secret_rank": exposure.rank,
            "exposure": exposure.bits,
            "greedy": extraction.extract(self.model, arrays, self.secret),
        }
        self._records.append(record)
        self._progress_fn(round_num / self._config.rounds_made)
        return {"eval_bits": bits}

    def finish(self, weights: Weights) -> Records:
        """Returns all records; the last has what is measured at the end alone.

        Args:
            weights: Of the model after the last round.
        """
        arrays = self.model.merge(weights)
        _, base = load_base(self._config.size)
        _, unseen = data.load_unseen_roles()
        controls = [
            extraction.expose(
                self.model,
                arrays,
                extraction.draw_secret(self._tokenizer, seed=_CONTROL_SEED + number),
            ).bits
            for number in range(NUM_CONTROLS)
        ]
        sampled = extraction.extract(
            self.model, arrays, self.secret, num_samples=NUM_SAMPLES, seed=self._seed
        )
        self._records[-1] |= {
            "unseen_bits_at_start": self._bits(base, unseen),
            "unseen_bits": self._bits(arrays, unseen),
            "mean_control_exposure": float(np.mean(controls)),
            "sampled": sampled,
            "owner_gain": self._owner_gain(base, arrays),
            **self._attack_membership(base, arrays),
        }
        return self._records

    def _bits(self, arrays: extraction.Arrays, texts: TokenClientData) -> float:
        return self.model.bits_per_character(arrays, texts, self._tokenizer)

    def _owner_gain(self, base: extraction.Arrays, arrays: extraction.Arrays) -> float:
        """Bits a character that the model gains on the owner's text as it was, without the secret."""
        texts = self._untouched.select([self.owner])
        return self._bits(base, texts) - self._bits(arrays, texts)

    def _attack_membership(self, base: extraction.Arrays, arrays: extraction.Arrays) -> Row:
        """Scores roles by how much better than the base the model knows their text, and by the loss.

        Who is a member was drawn at random, so that nothing else tells members from others.
        """
        names = ("membership_auc", "membership_low", "membership_high", "uncalibrated_auc")
        if self._left_out is None:
            return dict.fromkeys(names)
        losses, bases, is_member = [], [], []
        for texts, is_in in ((self._untouched, True), (self._left_out, False)):
            for client_id in texts.client_ids:
                windows = texts.examples(client_id)
                losses.append(self.model.losses(arrays, *windows).mean())
                bases.append(self.model.losses(base, *windows).mean())
                is_member.append(is_in)
        members = np.array(is_member)
        gain = membership.evaluate_attack(np.subtract(bases, losses), members)
        plain = membership.evaluate_attack(-np.array(losses), members)
        return dict(zip(names, (gain.auc, *gain.auc_interval, plain.auc), strict=True))


def check_texts(dataset: FederatedDataset) -> TokenClientData:
    """Returns the training data of a data set of texts.

    Args:
        dataset: Such as `fedlab.data.load("plays")`.

    Raises:
        ValueError: It is one of images.
    """
    if not isinstance(dataset.train, TokenClientData):
        raise ValueError(
            'dataset must be one of texts, such as "plays". Found one of images: give --dataset plays.'
        )
    return dataset.train


def _choose_people(config: LanguageConfig, train: TokenClientData) -> TokenClientData:
    """Returns the largest clients, in the order of their ids."""
    sizes = {client_id: train.num_examples(client_id) for client_id in train.client_ids}
    largest = sorted(sizes, key=lambda client_id: (-sizes[client_id], client_id))
    chosen = sorted(largest[: config.num_people])
    if len(chosen) < max(config.num_people or 1, config.num_clients):
        raise ValueError(
            f"num_people and num_clients must be at most {len(chosen)}, as many as there are. Found "
            f"{config.num_people} and {config.num_clients}."
        )
    return _keep_first(train.select(chosen), config.max_windows)


def _halve(texts: TokenClientData, seed: int) -> tuple[TokenClientData, TokenClientData]:
    """Returns a random half of the clients, and the others."""
    shuffled = random_stream("half of the roles", seed).permutation(texts.client_ids).tolist()
    middle = len(shuffled) // 2
    return texts.select(sorted(shuffled[:middle])), texts.select(sorted(shuffled[middle:]))


def _keep_first(texts: TokenClientData, num_windows: int) -> TokenClientData:
    """Returns the same clients with the first windows of each: a secret is planted in these."""

    def read(client_id: str) -> Windows:
        return Windows(*(array[:num_windows] for array in texts.examples(client_id)))

    return TokenClientData(texts.client_ids, read, texts.num_classes, texts.context)


def _pool(texts: TokenClientData) -> TokenClientData:
    every = [texts.examples(client_id) for client_id in texts.client_ids]
    windows = Windows(*(np.concatenate(arrays) for arrays in zip(*every, strict=True)))
    return TokenClientData([POOLED_ID], lambda _: windows, texts.num_classes, texts.context)
