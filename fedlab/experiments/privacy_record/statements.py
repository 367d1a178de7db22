"""What a person states for the record of a run: purposes, attacks' results, requests of deletion."""

from typing import Literal

from fedlab.experiments.settings import Count, CountOrZero, Flag, Label, Number, config_class
from fedlab.statistics import Interval

TO_FILL_IN = "to be filled in by a person"
# The two tests of EDPB Opinion 28/2024, paragraph 43.
ANONYMITY_TESTS = ("extraction", "queries")


@config_class
class Statement:
    """What only a person can say about a run. What is left out is shown as to be filled in.

    Attributes:
        purpose: What the model is for, in plain words.
        data: Which data of which people the clients hold.
        num_participants: How many clients took part in at least one round. The run's records do not say
            who took part, so nothing can count them.
        legal_basis: Why the processing is lawful, such as consent (GDPR Article 6, PIPL Article 13).
        necessity: Why the purpose needs these data and not fewer.
        controller: Who decides on purposes and means (GDPR Articles 4 and 26, PIPL Article 20).
        processors: Who works on the controller's behalf (GDPR Article 28, PIPL Article 21).
        assessment_case: Which case of PIPL Article 55, or of GDPR Article 35(3), the run is.
        transfers: To which countries updates or models go.
        retention: How long updates, checkpoints and this record are stored.
        risks: What may happen to the people.
        measures: What is done about it besides what the run itself shows.
        residual_impact: How bad the harm would be that remains possible, from 0 to 4.
        residual_likelihood: How likely it is, from 0 to 4.
        residual_risk: The residual risk and the decision about it, in words.
        filled_in_by: Who answers for these statements.

    Raises:
        ValueError: A value is no text, is empty, or a score is not a whole number from 0 to 4.
    """

    purpose: Label | None = None
    data: Label | None = None
    num_participants: CountOrZero | None = None
    legal_basis: Label | None = None
    necessity: Label | None = None
    controller: Label | None = None
    processors: Label | None = None
    assessment_case: Label | None = None
    transfers: Label | None = None
    retention: Label | None = None
    risks: Label | None = None
    measures: Label | None = None
    residual_impact: CountOrZero | None = None
    residual_likelihood: CountOrZero | None = None
    residual_risk: Label | None = None
    filled_in_by: Label | None = None

    def __post_init__(self) -> None:
        for name in ("residual_impact", "residual_likelihood"):
            score = getattr(self, name)
            if score is not None and score > 4:
                raise ValueError(f"{name} must be a whole number from 0 to 4. Found {score}.")


@config_class
class AttackOutcome:
    """The result of an attack that was run, with its interval.

    Attributes:
        name: What the attack is called, such as "membership by loss".
        test: What it tests: "extraction" of training data from the model or its weights; "queries",
            personal data out of the model's answers; "membership"; or "update", what an update
            gives away.
        metric: What is measured, with its unit, such as "AUC" or "share of tokens recovered". For the
            word "anonymous" a share or an AUC, in [0, 1].
        estimate: The measured value, finite.
        low: The lower end of its interval, at most the estimate.
        high: The upper end of its interval, at least the estimate.
        chance: The value that guessing has, such as 0.5 for an AUC.
        confidence_percent: Confidence of the interval in percent, above 0 and below 100.
        client_id: The client for whom the attack succeeds best: the worst client. Default: the
            outcome is over all clients.
        num_clients_tested: Of how many clients, each attacked, it is the worst. Required with
            `client_id`, not allowed without it.

    Raises:
        ValueError: A value is of the wrong type, is not finite, or the interval does not contain the
            estimate, or a worst client comes without the number of clients that were attacked.
    """

    name: Label
    test: Literal["extraction", "queries", "membership", "update"]
    metric: Label
    estimate: Number
    low: Number
    high: Number
    chance: Number
    confidence_percent: Number = 95.0
    client_id: Label | None = None
    num_clients_tested: Count | None = None

    def __post_init__(self) -> None:
        if (self.client_id is None) != (self.num_clients_tested is None):
            raise ValueError(
                "client_id and num_clients_tested go together: the worst of how many clients. Found "
                f"{self.client_id!r} and {self.num_clients_tested!r}."
            )
        if not 0 < self.confidence_percent < 100:
            raise ValueError(
                "confidence_percent must be above 0 and below 100. "
                f"Found {self.confidence_percent!r}."
            )
        if not self.low <= self.estimate <= self.high:
            raise ValueError(
                "estimate must lie between low and high. "
                f"Found {self.estimate!r}, {self.low!r} and {self.high!r}."
            )

    @property
    def interval(self) -> Interval:
        """The estimate with its interval, as pictures draw it."""
        return Interval(self.estimate, self.low, self.high)

    @property
    def is_consistent_with_guessing(self) -> bool:
        """Whether the interval contains the value that guessing has."""
        return self.low <= self.chance <= self.high


@config_class
class DeletionRequest:
    """A request to delete a person's data, and how it was met.

    Attributes:
        client_id: The client whose data are concerned.
        after_round: The last finished round when the request came, at least 0.
        measure: How it was met: the client is "not sampled any more", which leaves its influence in
            the weights; "retrained without the client"; "continued from before its first round", a
            checkpoint that has nothing of the client; or "not met yet".
        is_influence_tested: Whether an attack on the model afterwards tested that the client's
            influence is gone.

    Raises:
        ValueError: A value is of the wrong type or unknown.
    """

    client_id: Label
    after_round: CountOrZero
    measure: Literal[
        "not sampled any more",
        "retrained without the client",
        "continued from before its first round",
        "not met yet",
    ]
    is_influence_tested: Flag = False
