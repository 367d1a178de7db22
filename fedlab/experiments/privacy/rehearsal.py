"""The rehearsal of the privacy ledger: every row's server rate is chosen by one rule.

To choose a rate by models that were trained on members would cost privacy that no row counts. So each
defence is tried with each rate on public writers alone, half of whom train and half of whom judge, and
the rate with the highest accuracy is taken; the smaller one, if two are equally good. A run that
diverges counts as an accuracy of 0.

The noise of the rehearsal is that of the row: of a mean of `num_members` updates, although fewer writers
train here. The updates of the rehearsal themselves are averaged over fewer writers, and so vary more.
"""

from fedlab.data import FederatedDataset
from fedlab.experiments.privacy.configs import LedgerConfig
from fedlab.experiments.privacy.defences import compile_rounds, train
from fedlab.experiments.privacy.start import pooled_accuracy, pretrain
from fedlab.experiments.privacy.writers import split_writers
from fedlab.experiments.settings import vary
from fedlab.experiments.store import Records
from fedlab.random_streams import random_stream
from fedlab.training import DivergedError


def rehearse(config: LedgerConfig, dataset: FederatedDataset, seed: int) -> Records:
    """Chooses the server rate of a row on public writers.

    Args:
        config: The row; its `rates` are tried. A secure sum does not count: it changes no model.
        dataset: The data set.
        seed: Of the writers, the cohorts, the order of the examples and the noise.

    Returns:
        One record: server_learning_rate, the rate that is chosen, and rehearsal, the accuracies of
        all rates as text, on the test digits of the writers who judge.
    """
    writers, start = split_writers(dataset, seed), pretrain(dataset, seed)
    in_the_clear = vary(config, secure_sum=None)
    # All rates get the same noise, and another one than the row itself.
    noise_seed = int(random_stream("ledger: rehearsal noise", seed).integers(2**31))
    accuracies = {}
    for rate in config.rates:
        runner = compile_rounds(
            in_the_clear,
            writers.num_members,
            noise_seed,
            server_learning_rate=rate,
            num_trained=len(writers.rehearsed),
        )
        try:
            weights = train(config, writers.train, writers.rehearsed, start, runner, seed)
            accuracies[rate] = pooled_accuracy(dataset, weights, writers.judges)
        except DivergedError:
            accuracies[rate] = 0.0
    best = max(sorted(accuracies), key=lambda rate: accuracies[rate])
    text = ", ".join(f"{rate:g}: {accuracy:.1%}" for rate, accuracy in accuracies.items())
    return [{"server_learning_rate": best, "rehearsal": text}]
