"""What all rows of privacy_ledger.py have in common: the recipe, the data, who is a member."""

import dataclasses

import numpy as np
from _privacy_start import pretrain

from fedlab import data, runtime, training
from fedlab.data import sampling
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import Cohort, CohortFn, Preprocessing, build_cohort_fn
from fedlab.experiments import central_training
from fedlab.experiments.central_training import Weights
from fedlab.models import create_small_cnn


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of the ledger.

    Attributes:
        num_rounds: Of every training.
        participation: The expected share of the members in a round, by Poisson sampling, in (0, 1].
        client_learning_rate: Of SGD at the clients.
        server_learning_rate: What the mean update is multiplied by, without a clip.
        clipped_server_learning_rate: The same with one: clipped updates are shorter.
        max_examples: Cap on the training digits of a writer: with few, the model overfits, which is
            what a membership attack lives on.
        batch_size: Of the clients.
        num_epochs: Passes of a client over its digits in a round.
        clip: Largest L2 norm of an update, wherever it is clipped.
        epsilons: Of the rows with noise at the server; the first is the clients' aim, too.
        group_size: Clients in a timed round, and in the sum that is inverted.
        num_timed: Rounds of each defence that are timed.
        num_iterations: Steps of a search for images.
        num_references: Models that the membership attacker trains, even.
        num_writers: How many writers there are. Default: all.
        seed: Of everything, but for keys, ciphertexts and the clients' own noise.
    """

    num_rounds: int
    participation: float
    client_learning_rate: float
    server_learning_rate: float
    clipped_server_learning_rate: float
    max_examples: int | None
    batch_size: int
    num_epochs: int
    clip: float
    epsilons: tuple[float, ...]
    group_size: int
    num_timed: int
    num_iterations: int
    num_references: int
    num_writers: int | None = None
    seed: int = 0


class World:
    """One data set, one split, one start.

    Half of the writers are members and train. The others hold digits of the same kind and do not.
    The start is trained on public digits that nobody of them holds.

    Args:
        argument: As `datasets.load_dataset` takes it.
        recipe: The numbers.

    Attributes:
        recipe: The numbers.
        name: Of the data set.
        digests: Its digest, by its name.
        train: The training digits, by writer.
        writers: Members and others.
        members: Who trains, sorted.
        start: The weights before the first round.
    """

    def __init__(self, argument: str, recipe: Recipe):
        dataset = data.load(argument)
        participants = dataset.participants(pretrained=True)
        self.recipe = recipe
        self.name = dataset.name
        self.digests = {dataset.name: dataset.sha256}
        writers = participants.client_ids[: recipe.num_writers]
        self.writers = writers[: 2 * (len(writers) // 2)]  # two equal halves
        self.train = _take_first(participants.select(self.writers), recipe.max_examples)
        rng = np.random.default_rng(recipe.seed)
        self.members = sorted(rng.choice(self.writers, len(self.writers) // 2, replace=False))
        self.start = pretrain(dataset.public_examples, recipe.seed)
        self._test = dataset.pooled_test
        self._train_pool = data.pool(self.train)

    @property
    def expected_num_clients(self) -> float:
        """Of a round."""
        return self.recipe.participation * len(self.members)

    def cohort(self, sample_fn: sampling.SampleFn, round_num: int = 1) -> Cohort:
        """Returns the clients of a round, with their batches."""
        return self._cohort_fn(sample_fn, self.recipe.seed)(round_num)

    def run(
        self,
        runner: runtime.Runner,
        sample_fn: sampling.SampleFn,
        seed: int,
        num_rounds: int | None = None,
    ) -> Weights:
        """Trains, from the start, and returns the weights."""
        return training.run_rounds(
            runner,
            self._cohort_fn(sample_fn, seed),
            num_rounds or self.recipe.num_rounds,
            initial_weights=self.start,
            callbacks=[],
        ).weights

    def accuracy(self, weights: Weights) -> float:
        """Returns the share of right answers on the test digits of all writers, in [0, 1]."""
        answers = _network().answer(weights, self._test)
        return float((answers.prediction == self._test.labels).mean())

    def train_losses(self, weights: Weights) -> np.ndarray:
        """Returns the loss on each training digit, of members and others: float32 (num_digits,)."""
        return _network().answer(weights, self._train_pool).loss

    def train_owners(self) -> np.ndarray:
        """Returns whose digit each of these is: str (num_digits,)."""
        sizes = [len(self.train.examples(writer).labels) for writer in self.writers]
        return np.repeat(self.writers, sizes)

    def _cohort_fn(self, sample_fn: sampling.SampleFn, seed: int) -> CohortFn:
        size, num_epochs = self.recipe.batch_size, self.recipe.num_epochs
        batches = Preprocessing(size, num_epochs, shuffle=True, seed=seed)
        return build_cohort_fn(self.train, sample_fn, batches)


def _take_first(data: MemoryClientData, max_examples: int | None) -> MemoryClientData:
    def read(client_id: str) -> Examples:
        return Examples(*(array[:max_examples] for array in data.examples(client_id)))

    return MemoryClientData(data.client_ids, read)


def _network() -> central_training.Network:
    return central_training.build_network(create_small_cnn)
