"""The settings of a run of the study of language models: one column of a CSV file each."""

from typing import ClassVar, Literal

import pydantic

from fedlab.experiments.settings import (
    Config,
    Count,
    CountOrZero,
    Flag,
    Label,
    Positive,
    Rate,
    config_class,
)


def check_rank(trained: str, rank: int | None) -> None:
    """Checks that adapters, and they alone, have a rank.

    Args:
        trained: "lora" for adapters, or what else trains.
        rank: Their rank.

    Raises:
        ValueError: There is a rank without adapters, or adapters have none.
    """
    if (trained == "lora") != (rank is not None):
        raise ValueError(
            f"trained 'lora', and no other, needs rank. Found trained={trained!r} with rank={rank}."
        )


@config_class
class LanguageConfig(Config):
    """One federated run that goes on from the base model, with a secret in one client's text or none.

    Each client counts once in the mean, however much it has said.

    Attributes:
        name: What a table calls it.
        group: The question that it belongs to.
        size: The base model, as in `fedlab.models.load_base`.
        trained: "full": all parameters. "head": the output layer. "lora": adapters.
        rank: Of the adapters, at least 1; None for the others.
        num_people: How many roles take part, the largest first; None: all.
        num_clients: In a round, drawn at random; at least 1 and at most `num_people`. With a clip, or
            noise, the expected number by Poisson sampling. As many as take part: all, in each round.
        leaves_out_half: A random half of these takes no part; it is what members are compared with.
        is_pooled: All text lies in one place, as a single client's: training without a federation.
        num_rounds: At least 1.
        client_optimizer: What a client steps with.
        client_learning_rate: Its step size, at least 0.
        max_windows: Largest number of windows of a client, of 64 tokens each.
        batch_size: Windows, at least 1.
        num_repeats: How many of a client's windows contain the secret; 0: nobody says it.
        secret: The number of the secret; its words differ with the seed, too.
        joins_after: The client with the secret takes no part before this round is over. With
            `num_rounds`: it never takes part.
        leaves_after: It takes no part after this round; None: it stays.
        goes_back: At the end, back to the checkpoint of round `joins_after`, at least 1, and all rounds
            since then once more, without the client with the secret.
        secure_sum: "plain": sums in the clear. "secagg": of integers, under masks; without a clip.
        clip: Largest L2 norm of a client's update, above 0; None: no limit.
        target_epsilon: Noise on the sum for this epsilon of whole clients, in nats, at
            delta = 1 / (10 * people); None: no noise.
        noise: The noise on the sum, as its standard deviation in clips, in place of `target_epsilon`;
            None: no noise.
        evaluate_every: Rounds between two evaluations, at least 1.

    Raises:
        ValueError: A value is not of its type or out of range, or settings do not go together.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name", "group")
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "size", "trained", "num_rounds")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "bits_at_start",
        "bits",
        "unseen_bits_at_start",
        "unseen_bits",
        "rank_at_start",
        "secret_rank",
        "exposure",
        "owner_gain",
        "greedy",
        "sampled",
        "mean_control_exposure",
        "membership_auc",
        "membership_low",
        "membership_high",
        "uncalibrated_auc",
        "num_trainable",
        "bytes_up_per_client",
        "epsilon",
        "delta",
        "noise_used",
        "num_population",
        "seconds",
        "seconds_after_leaving",
    )
    KEY_PREFIX: ClassVar[str] = "language "

    name: Label
    group: Label
    size: Literal["main", "small", "lstm"] = "main"
    trained: Literal["full", "head", "lora"] = "full"
    rank: Count | None = None
    num_people: Count | None = None
    num_clients: Count = 16
    leaves_out_half: Flag = False
    is_pooled: Flag = False
    num_rounds: Count = 30
    client_optimizer: Literal["sgd", "adam"] = "sgd"
    client_learning_rate: Rate = 0.2
    max_windows: Count = 32
    batch_size: Count = 8
    num_repeats: CountOrZero = 0
    secret: CountOrZero = 0
    joins_after: CountOrZero = 0
    leaves_after: Count | None = None
    goes_back: Flag = False
    secure_sum: Literal["plain", "secagg"] = "plain"
    clip: Positive | None = None
    target_epsilon: Positive | None = None
    noise: Positive | None = None
    evaluate_every: Count = 5

    @pydantic.model_validator(mode="after")
    def _check(self) -> "LanguageConfig":
        check_rank(self.trained, self.rank)
        if self.size == "lstm" and self.trained != "full":
            raise ValueError(
                f"size 'lstm' needs trained='full': the others are for transformers. Found {self.trained!r}."
            )
        self._check_noise()
        if self.is_pooled and (self.clip is not None or self.num_clients != 1):
            raise ValueError(
                "is_pooled needs num_clients=1 and no clip: there is one client. Found num_clients="
                f"{self.num_clients} with clip={self.clip}."
            )
        self._check_who_stays()
        if self.goes_back and (not 0 < self.joins_after < self.num_rounds or self.leaves_after):
            raise ValueError(
                f"goes_back needs joins_after from 1 to {self.num_rounds - 1}, before the last round, and "
                f"no leaves_after. Found {self.joins_after} with leaves_after={self.leaves_after}."
            )
        return self

    def _check_who_stays(self) -> None:
        if not self.joins_after and self.leaves_after is None:
            return
        is_everybody = self.num_clients == self.num_people and self.clip is None
        if not self.num_repeats or not is_everybody:
            raise ValueError(
                "joins_after and leaves_after are for a client with a secret (num_repeats) where all "
                "take part in each round, without a clip. Found num_repeats="
                f"{self.num_repeats} with num_clients={self.num_clients}, num_people="
                f"{self.num_people} and clip={self.clip}."
            )
        last = self.leaves_after
        if last is not None and not self.joins_after < last < self.num_rounds:
            raise ValueError(
                f"leaves_after must be after joins_after, {self.joins_after}, and before the last "
                f"round, {self.num_rounds}. Found {last}."
            )

    def _check_noise(self) -> None:
        for name, value in (("target_epsilon", self.target_epsilon), ("noise", self.noise)):
            if value is not None and self.clip is None:
                raise ValueError(f"{name} needs a clip. Found {value} without one.")
        if self.target_epsilon is not None and self.noise is not None:
            raise ValueError(
                "target_epsilon and noise are two ways to say the same: give one. Found "
                f"{self.target_epsilon} and {self.noise}."
            )
        if self.secure_sum != "plain" and self.clip is not None:
            raise ValueError(
                f"secure_sum={self.secure_sum!r} is for runs without a clip. Found clip={self.clip}."
            )

    @property
    def rounds_after_leaving(self) -> int:
        """Number of rounds that are made because, or after, a client has left; 0: none leaves."""
        if self.leaves_after is not None:
            return self.num_rounds - self.leaves_after
        if self.goes_back:
            return self.num_rounds - self.joins_after
        return self.num_rounds if self.joins_after >= self.num_rounds else 0

    @property
    def rounds_made(self) -> int:
        """Number of rounds in all, with those that are made once more."""
        return self.num_rounds + (self.num_rounds - self.joins_after) * self.goes_back
