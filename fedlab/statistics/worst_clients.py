"""The number of clients that count as the worst."""

import math

from fedlab.checks import check_count, check_number


def count_worst(num_clients: int, worst_fraction: float = 0.1) -> int:
    """Returns the number of clients that count as the worst.

    Args:
        num_clients: Number of all clients, at least 1.
        worst_fraction: Fraction that counts as the worst, in (0, 1]; 0.1 is the worst decile.

    Returns:
        That fraction of the clients, rounded up to whole clients.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range.
    """
    fraction = check_number("worst_fraction", worst_fraction, above=0, at_most=1)
    # In floating point 0.1 * 30 is a little above 3.
    num_clients = check_count("num_clients", num_clients)
    return math.ceil(round(fraction * num_clients, 9))
