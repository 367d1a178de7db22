"""A picture of who may take part, who is drawn and who takes part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlab.checks import check_count, check_list, check_mapping, check_text
from fedlab.plots.style import new_axes, picture


@picture
def participation(
    consent: Mapping[str, Sequence[int]],
    drawn: Mapping[str, Sequence[int]],
    took_part: Mapping[str, Sequence[int]],
    ax: Axes | None = None,
) -> Axes:
    """Draws for each client the rounds in which its consent holds, it is drawn, and it takes part.

    Args:
        consent: From a client's name to the numbers of the rounds in which its consent holds; the first
            client is at the top.
        drawn: The same of the rounds in which the sampler drew it.
        took_part: The same of the rounds in whose cohort it was.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: The clients differ, or a round's number is below 0.
    """
    rows = {
        name: {
            check_text(f"a client of {name}", client): [
                check_count(f"{name}[{client!r}]", n, at_least=0)
                for n in check_list(f"{name}[{client!r}]", each)
            ]
            for client, each in check_mapping(name, by_client).items()
        }
        for name, by_client in (("consent", consent), ("drawn", drawn), ("took_part", took_part))
    }
    clients = list(rows["consent"])
    for name in ("drawn", "took_part"):
        if others := sorted({*rows[name]} ^ {*clients}):
            raise ValueError(
                f"{name} must have the clients of consent. Found {others[0]!r} in one of them alone."
            )
    ax = ax or new_axes(10, 2.0 + 0.4 * len(clients))
    styles: dict[str, tuple[str, dict[str, Any]]] = {
        "consent": ("consent holds", {"marker": "s", "ms": 17, "color": "#CCDDAA"}),
        "drawn": ("drawn", {"marker": "x", "ms": 11, "mew": 3, "color": "#BB5566"}),
        "took_part": ("took part", {"marker": "o", "ms": 11, "color": "#004488"}),
    }
    for name, (label, style) in styles.items():
        points = [(n, y) for y, client in enumerate(clients) for n in rows[name][client]]
        ax.plot(*np.reshape(points, (-1, 2)).T, ls="none", label=label, **style)
    ax.set_yticks(range(len(clients)), clients)
    ax.set(xlabel="round", ylim=(len(clients) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
