"""Who holds the data of the privacy ledger: members, others, and the writers of the rehearsal."""

from typing import NamedTuple

from fedlab.data import FederatedDataset
from fedlab.data.client_data import MemoryClientData
from fedlab.data.federated_dataset import PUBLIC_FRACTION
from fedlab.random_streams import random_stream


class Writers(NamedTuple):
    """The writers of the ledger. Those of the rehearsal are public, and are in no other group.

    Attributes:
        train: The training digits of all, by writer.
        client_ids: Members and others, sorted as in the data set; an even number.
        members: The half of them that trains, sorted.
        rehearsed: Public writers who train in the rehearsal, sorted.
        judges: Public writers on whose test digits the rehearsal is judged, sorted.
    """

    train: MemoryClientData
    client_ids: list[str]
    members: list[str]
    rehearsed: list[str]
    judges: list[str]

    @property
    def num_members(self) -> int:
        """Number of members."""
        return len(self.members)


def split_writers(dataset: FederatedDataset, seed: int) -> Writers:
    """Draws the public writers, and the half of the others that trains.

    A fifth of the writers is public. If a model is pre-trained on some writers of the data set, these
    are the public ones: it has seen their training digits, but not the test digits that judge.

    Args:
        dataset: The data set.
        seed: Of the draws.

    Raises:
        ValueError: There are fewer than two public writers.
    """
    client_ids = dataset.train.client_ids
    rng = random_stream("ledger: public writers", seed)
    if dataset.public_fn is None:
        private = set(dataset.participants(pretrained=True).client_ids)
        public = [client_id for client_id in client_ids if client_id not in private]
    else:
        num_public = round(PUBLIC_FRACTION * len(client_ids))
        public = rng.choice(client_ids, num_public, replace=False).tolist()
    if len(public) < 2:
        raise ValueError(
            "The ledger needs at least two public writers, one to train and one to judge. Found "
            f"{len(public)} of {len(client_ids)}; use a data set with more clients."
        )
    public = rng.permutation(public).tolist()
    others = [client_id for client_id in client_ids if client_id not in set(public)]
    others = others[: 2 * (len(others) // 2)]
    rng = random_stream("ledger: members", seed)
    members = sorted(rng.choice(others, len(others) // 2, replace=False).tolist())
    half = len(public) // 2
    return Writers(dataset.train, others, members, sorted(public[:half]), sorted(public[half:]))
