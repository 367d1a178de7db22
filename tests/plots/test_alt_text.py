"""The text that stands for a picture says what is drawn, and a notebook stores it with the image."""

import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest

from fedlab.plots import diagrams
from fedlab.plots.alt_text import describe_figure


@pytest.fixture
def ax():
    axes = plt.subplots()[1]
    yield axes
    plt.close(axes.figure)


def describe(ax):
    return describe_figure(ax.get_figure(root=True))


@pytest.mark.parametrize("draw", ["bar", "barh"])
def test_bars_are_told_by_their_names(ax, draw):
    getattr(ax, draw)(["clipped", "epsilon 2"], [0.95, 13_500], label="noise")
    ax.set_title("Noise costs")
    assert describe(ax) == "Noise costs. Noise: clipped 0.95, epsilon 2 13,500."


def test_lines_are_told_from_where_to_where(ax):
    ax.plot([1, 2, 30], [0.1, np.nan, 0.95], label="IID")
    ax.plot([1, 30], [0.5, 0.5], label="chance")
    ax.plot([1, 2], [0, 1])  # a mark
    ax.axvline(12, label="median")
    ax.set(xlabel="round", ylabel="accuracy")
    ax.set_title("It learns", loc="left")
    assert describe(ax) == (
        "It learns. Across: round, upwards: accuracy. IID: from 0.1 at 1 to 0.95 at 30. "
        "Chance at 0.5. Median: a line at 12."
    )


def test_many_bars_or_lines_are_told_in_short(ax):
    ax.bar(range(40), range(40))
    for i in range(15):
        ax.plot([0, 1, 2], [i, 1, 2], label=f"run {i}")
    told = describe(ax)
    assert "Bars: 40, from 0 to 39." in told
    assert "Run 11:" in told and "Run 12:" not in told and "And 3 more." in told


def test_marks_in_rows_are_told_by_the_row_s_name(ax):
    ax.plot([3, 5, 1000], [0, 0, 0], "o")
    ax.errorbar(7, 1, xerr=2, fmt="s", label="live")
    ax.set_yticks([0, 1], ["no noise", "epsilon 8"])
    assert describe(ax) == "No noise: 3 marks from 3 to 1,000. Epsilon 8: 7."


def test_points_and_cells_are_counted(ax):
    ax.scatter(range(3), range(3), label="clients")
    ax.imshow(np.arange(6).reshape(2, 3) * 1000)
    ax.set_xlabel("label")
    assert describe(ax) == "Across: label. Clients: 3 points. 2 by 3 cells, from 0 to 5,000."


def test_equal_parts_are_told_once_and_a_titled_image_by_its_title():
    figure, grid = plt.subplots(1, 3)
    for axes, title in zip(grid, ("plain", "masks", "masks"), strict=True):
        axes.imshow(np.zeros((2, 2)))
        axes.set_title(title)
    figure.suptitle("What the server\nreceives")
    assert describe_figure(figure) == "What the server receives. Plain. An image. Masks. An image."
    plt.close(figure)


def test_a_drawing_is_told_by_its_words_and_an_empty_figure_as_such():
    drawn = diagrams.architecture()
    told = describe(drawn)
    assert told.startswith("In it: ") and "The data stays, the model moves; " in told
    plt.close(drawn.figure)
    assert describe_figure(plt.figure()) == "A picture without words."
    plt.close("all")


@pytest.mark.parametrize(
    "source",
    [
        "ax.plot([], [])",
        "ax.plot([np.nan], [1])",
        "ax.bar([], [])",
        "ax.bar(['a', '$b$'], [1, 2], label='_hidden')",
        "ax.plot(np.array(['2026-01-01', '2026-01-02'], 'datetime64[D]'), [1, 2])",
        "ax.imshow(np.full((2, 2), np.nan))",
        "ax.imshow(np.zeros((2, 2, 3)))",
        "ax.scatter([], [])",
        "ax.pie([1, 2])",
        "ax.errorbar([1, 2], [1, 2], yerr=1)",
        "ax.hist([1, 2, 3])",
        "ax.set_title('x' * 10_000)",
    ],
)
def test_nothing_that_people_draw_is_an_error(ax, source):
    exec(source, {"ax": ax, "np": np})
    assert describe(ax)


def test_a_notebook_stores_it_as_the_image_s_alt_text():
    source = (
        "import matplotlib.pyplot as plt\nfrom fedlab import plots\n"
        "plots.use_style(); plots.use_style()\nplt.title('Seen by nobody')\nplt.plot([1, 2, 3]);"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    (cell,) = nbclient.NotebookClient(notebook, timeout=300).execute().cells
    (picture,) = [one for one in cell.outputs if "image/png" in one.get("data", {})]
    assert picture.metadata["image/png"]["alt"] == "Seen by nobody. A line: from 1 at 0 to 3 at 2."
