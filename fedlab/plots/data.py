"""Pictures of the clients' data: images, labels, numbers of examples."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlab.checks import (
    check_count,
    check_flag,
    check_list,
    check_mapping,
    check_not_empty,
    describe,
)
from fedlab.plots.style import (
    COLORS,
    check_counts,
    clean_cells,
    new_axes,
    picture,
    row_percent,
    write_cells,
)

Counts: TypeAlias = pd.DataFrame | Mapping[str, npt.ArrayLike]


@picture
def digits(
    images: npt.ArrayLike,
    labels: Sequence[Any] | None = None,
    *,
    num_columns: int = 10,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws images in a grid, row by row, each under its label.

    Args:
        images: Grey images, (n, height, width), n at least 1, or colour images, (n, height, width,
            3): float in [0, 1], or uint8. The largest value is drawn white, 0 black.
        labels: n labels, numbers or text. None: no labels.
        num_columns: Number of images in a row, at least 1.
        title: Title above the grid.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `num_columns` is not a whole number.
        ValueError: The images have another shape or values outside [0, 1], `num_columns` is below
            1, or there is not one label per image.
    """
    pixels = _check_images(images, "images")
    num_columns = check_count("num_columns", num_columns)
    if labels is not None and len(labels := check_list("labels", labels)) != len(pixels):
        raise ValueError(f"labels must be one label per image. Found {len(labels)}, {len(pixels)}.")
    columns = min(num_columns, len(pixels))
    rows = [pixels[i : i + columns] for i in range(0, len(pixels), columns)]
    ax, lefts, tops = _draw_rows(rows, 2 if labels is None else 11, title, ax)
    middle = (pixels.shape[2] - 1) / 2
    for i, label in enumerate([] if labels is None else labels):
        x, y = lefts[i % columns] + middle, tops[i // columns] - 1
        ax.text(x, y, str(label), ha="center", va="bottom", fontsize=13)
    return ax


@picture
def digits_by_client(
    images_by_client: Mapping[str, npt.ArrayLike],
    *,
    num_columns: int = 10,
    title: str | None = None,
) -> Axes:
    """Draws one row of images per client, to compare how the clients write.

    Args:
        images_by_client: From a client's id to its images, (n, height, width), n at least 1, or
            (n, height, width, 3), with one height and width for all: float in [0, 1], or uint8. Up
            to 12 clients fit on a screen.
        num_columns: Largest number of images in a row, at least 1; a client's other images are not
            drawn.
        title: Title above the rows.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `num_columns` is not a whole number.
        ValueError: There are no clients, `num_columns` is below 1, or images have another shape or
            range or differ in shape; the message names the client.
    """
    images_by_client = check_mapping("images_by_client", images_by_client)
    num_columns = check_count("num_columns", num_columns)
    rows = [_check_images(v, f"client {k!r}")[:num_columns] for k, v in images_by_client.items()]
    image_shape = rows[0].shape[1:]
    for client_id, row in zip(images_by_client, rows, strict=True):
        if row.shape[1:] != image_shape:
            raise ValueError(
                f"client {client_id!r}: images must have the shape of the first client's, "
                f"{image_shape}. Found {row.shape[1:]}."
            )
    ax, _, tops = _draw_rows(rows, 4, title, None)
    middle = (image_shape[0] - 1) / 2
    ax.set_yticks([top + middle for top in tops], list(images_by_client), fontsize=12)
    ax.axis("on")
    ax.set_xticks([])
    clean_cells(ax)
    return ax


@picture
def label_mix(
    counts: Counts, *, normalize: bool = False, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws label counts as a heat map: a column is a client, a row a label.

    Args:
        counts: Numbers of examples, at least 0: a table with a row per client and a column per
            label, or a mapping from client id to numbers (num_classes,). Up to 40 clients are easy
            to read; up to 12 clients the numbers are written into the cells.
        normalize: Whether to draw percentages of the client's examples instead of counts. The
            colours then stand for the same percentages in every picture, from 0 to 100.
        title: Title above the map.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no clients, a count is negative or not finite, or clients have
            different numbers of labels.
    """
    frame, normalize = _counts_frame(counts), check_flag("normalize", normalize)
    cells = row_percent(frame.to_numpy()) if normalize else frame.to_numpy()
    num_clients, num_classes = cells.shape
    column = 1.0 if num_clients <= 6 else max(0.26, 0.7 - 0.02 * num_clients)  # inches
    ax = ax or new_axes(2.0 + column * num_clients, 4.8)
    most = 100.0 if normalize else cells.max()
    image = ax.imshow(cells.T, cmap="Blues", vmin=0, vmax=most, aspect="auto", origin="upper")
    ax.set_xticks(range(num_clients), frame.index, rotation=0 if num_clients <= 6 else 90)
    ax.set_yticks(range(num_classes), frame.columns)
    ax.set(xlabel="client", ylabel="label")
    ax.set_title(title or "")
    clean_cells(ax)
    if num_clients <= 12:
        write_cells(ax, cells.T, np.full(cells.T.shape, most))
    unit = "% of the client's examples" if normalize else "examples"
    ax.figure.colorbar(image, ax=ax, label=unit, pad=0.02)
    return ax


@picture
def examples_per_client(num_examples: npt.ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws a histogram of the clients' numbers of examples, with the median as a line.

    Args:
        num_examples: int (num_clients,): each client's number of examples, at least 0.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no clients, or a number is negative.
    """
    sizes = check_counts("num_examples", num_examples)
    if sizes.ndim != 1:
        raise ValueError(f"num_examples must have shape (n,). Found {sizes.shape}.")
    ax = ax or new_axes(8, 4)
    width = max(1, int(np.ceil(np.ptp(sizes) / 25)))
    edges = np.arange(sizes.min(), sizes.max() + width + 1, width) - 0.5
    ax.hist(sizes, bins=list(edges), color=COLORS["neutral"], edgecolor="white")
    median = float(np.median(sizes))
    ax.axvline(median, color=COLORS["worst"], label=f"median {median:g}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set(xlabel="examples per client", ylabel="clients")
    ax.grid(False, axis="x")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return ax


def _check_images(images: npt.ArrayLike, name: str) -> np.ndarray:
    """Returns images, (n, height, width) or (n, height, width, 3), as values in [0, 1]."""
    pixels = np.asarray(images) if images is not None else np.empty(0)
    if pixels.ndim == 0:
        raise TypeError(f"{name}: pixels must be an array of numbers. Found {describe(images)}.")
    is_image = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
    if not is_image or pixels.size == 0:
        raise ValueError(
            f"{name}: images must have shape (n, height, width) or (n, height, width, 3), n at least "
            f"1. Found {pixels.shape}; use images[..., 0] for one channel, images[None] for one image."
        )
    if pixels.dtype == np.uint8:
        return pixels / 255
    if isinstance(images, np.ma.MaskedArray) or pixels.dtype.kind not in "iuf":
        raise TypeError(f"{name}: pixels must be numbers. Found {describe(images)}.")
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # also false for NaN
        hint = f"Found {pixels.min():g} to {pixels.max():g}; rescale or use np.clip."
        raise ValueError(f"{name}: pixels must be in [0, 1], or uint8. {hint}")
    return pixels


def _draw_rows(
    rows: Sequence[np.ndarray], gap: int, title: str | None, ax: Axes | None
) -> tuple[Axes, list[int], list[int]]:
    """Draws rows of images as one image, as large as if they had 28x28 pixels.

    Args:
        rows: The images, all of one shape.
        gap: Pixels above each row, for images of 28x28 pixels. Columns are 2 pixels apart.
        title: Title above the rows.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes, the left edge of each column and the top edge of each row, in pixels.
    """
    _, height, width, *channels = rows[0].shape
    scale = max(height, width) / 28
    gap, space = max(1, round(gap * scale)), max(1, round(2 * scale))
    lefts = [j * (width + space) for j in range(max(map(len, rows)))]
    tops = [i * (height + gap) + gap for i in range(len(rows))]
    canvas = np.ones((tops[-1] + height, lefts[-1] + width, *channels))
    for top, row in zip(tops, rows, strict=True):
        for left, image in zip(lefts, row, strict=False):
            canvas[top : top + height, left : left + width] = image
    inches_high, inches_wide = (0.031 * size / scale for size in canvas.shape[:2])
    ax = ax or new_axes(max(3.0, inches_wide), inches_high + (0.4 if title else 0.0))
    grays = plt.get_cmap("gray", 32)  # 32 grey levels look the same and make a smaller PNG
    ax.imshow(canvas, cmap=grays, vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title or "")
    ax.axis("off")
    return ax, lefts, tops


def _counts_frame(counts: Counts) -> pd.DataFrame:
    """Returns checked counts with a row per client and a column per label."""
    if isinstance(counts, pd.DataFrame):
        check_not_empty("counts", counts)
        rows = {client_id: row.to_numpy() for client_id, row in counts.iterrows()}
    else:
        rows = check_mapping("counts", counts)
    checked = {k: check_counts(f"counts of client {k!r}", row).ravel() for k, row in rows.items()}
    lengths = {client_id: len(row) for client_id, row in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Every client needs a count for each label. Found lengths {lengths}.")
    if isinstance(counts, pd.DataFrame):
        return counts
    return pd.DataFrame.from_dict({k: list(v) for k, v in checked.items()}, orient="index")
