"""Who sees what in a run, as it follows from the secure sum that was used."""

from typing import Any

from fedlab.checks import check_choice
from fedlab.runtime.compilation import SECURE_SUMS

_CLIENT = {
    "party": "each client",
    "raw examples": "its own",
    "one client's update": "its own",
    "sum of a round's updates": "no, but the change of the model from round to round",
    "model": "yes, in each round in which it takes part",
}
_SERVER = {
    "party": "server",
    "raw examples": "no",
    "one client's update": "no, unless others collude with it (see the key holder)",
    "sum of a round's updates": "yes",
    "model": "yes, in every round",
}
# Each text follows from the docstring of the secure sum's module in `fedlab.secure`.
_ROLES = {
    "plain": (
        _SERVER | {"one client's update": "yes, of every client in every round"},
        "nobody: the updates are not encrypted in the sum",
    ),
    "secagg": (
        _SERVER,
        "each client its own keys; a threshold of clients together can open a client's masks",
    ),
    "ckks": (
        _SERVER | {"one client's update": "as a ciphertext; one client that colludes opens it"},
        "the clients share one secret key, and the client that decrypts sees the sum",
    ),
    "shares": (
        _SERVER
        | {
            "party": "three servers",
            "one client's update": "shares that say nothing alone; two servers together open it",
        },
        "nobody: any two of the three servers take the place of a key",
    ),
}


def name_secure_sum(secure_sum: Any) -> str:
    """Returns the name of a secure sum: "plain", "secagg", "ckks" or "shares".

    Args:
        secure_sum: The name, or the object of a runner; None: the server adds in the clear.

    Raises:
        ValueError: It is another name or object.
    """
    if secure_sum is None:
        return "plain"
    if not isinstance(secure_sum, str):
        kind = type(secure_sum)
        names = {each: name for name, each in SECURE_SUMS.items()}
        return check_choice(
            "secure_sum", names.get((kind.__module__, kind.__name__), secure_sum), _ROLES
        )
    return check_choice("secure_sum", secure_sum, _ROLES)


def describe_roles(
    secure_sum: str, *, has_plan: bool, metrics_in_the_clear: bool
) -> list[dict[str, str]]:
    """Returns one row for each party, with what it sees, as text.

    Args:
        secure_sum: "plain", "secagg", "ckks" or "shares", as in `fedlab.compile`.
        has_plan: Whether the server adds the noise of a `PrivacyPlan`.
        metrics_in_the_clear: Whether each client's training metrics reach the server one by one.
    """
    server, key_holder = _ROLES[secure_sum]
    if has_plan and secure_sum == "plain":
        server = server | {"one client's update": "yes, clipped and before the noise is added"}
    metrics = "each client's" if metrics_in_the_clear else "not one client's"
    keys = dict.fromkeys(_CLIENT, "see the other rows") | {"party": "key holder"}
    return [
        _CLIENT | {"training metrics": "its own", "keys": "see the key holder"},
        server | {"training metrics": metrics, "keys": "see the key holder"},
        keys | {"training metrics": "no", "keys": key_holder},
    ]
