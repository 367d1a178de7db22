"""Each claim has a verdict from stored results and lessons, and the stored table is what these give."""

import shutil
from pathlib import Path

import pytest

from fedlab import __main__
from fedlab.experiments.claims import scoreboard
from fedlab.experiments.claims.catalogue import CLAIMS
from fedlab.experiments.claims.claim import Claim, by_check
from fedlab.experiments.claims.evidence import Evidence

ROOT = Path(__file__).parents[2]
STORED = Evidence(ROOT / "results", ROOT / "notebooks")
BY_ID = {claim.id: claim for claim in CLAIMS}
TABLES = """improvements_digits improvements_writer_digits ladder_digits ladder_writer_digits
    non_iid_digits non_iid_writer_digits edge baseline privacy_ledger
    privacy_epsilon statements_digits language language_rounds text_leaks""".split()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_is_judged_by_what_is_stored(claim):
    verdict, reason, figure = claim.judge(STORED)
    assert reason
    if verdict in ("holds", "holds if", "does not hold"):
        assert figure or claim.cell, "neither a figure nor an assert decides"
    if figure and figure.low is not None:
        assert figure.low <= figure.value <= figure.high


def test_claims_have_names_of_their_own_and_cover_the_article():
    assert len(BY_ID) == len(CLAIMS) >= 40
    assert {f"suggestion-{number}" for number in range(1, 8)} < set(BY_ID)


def test_the_stored_table_is_what_the_command_writes_today(tmp_path, capsys):
    argv = ["claims", "--results", ROOT / "results", "--notebooks", ROOT / "notebooks"]
    assert __main__.main([*map(str, argv), "--out", str(tmp_path)]) == 0
    for name in (scoreboard.CSV_NAME, scoreboard.PAGE_NAME):
        assert (tmp_path / name).read_text() == (ROOT / "results" / name).read_text()
    assert "does not hold" in capsys.readouterr().out


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_file_is_an_error(name, tmp_path, capsys):
    for table in TABLES:
        if table != name:
            shutil.copy(ROOT / "results" / f"{table}.csv", tmp_path)
    argv = ["claims", "--results", str(tmp_path), "--notebooks", str(ROOT / "notebooks")]
    assert __main__.main(argv) == 2
    assert f"{name}.csv" in capsys.readouterr().err
    assert not (tmp_path / scoreboard.CSV_NAME).exists()


@pytest.mark.parametrize(
    "lesson, cell, shown, message",
    [
        ("09_attacks", "gone", "ssim > 0.6", "09_attacks.ipynb has no cell 'gone'"),
        ("09_attacks", "attacks-00", "ssim > 0.6", "has no line that asserts"),
        ("09_attacks", "attacks-30", "", "has no line that asserts"),
        ("09_attacks", "attacks-30", "ssim > 0.7", "has no line that asserts 'ssim > 0.7'"),
        ("09_attacks", "attacks-30", "SSIM: rebuilt", "has no line that asserts"),  # it prints it
        ("99_nothing", "", "", "There is no lesson"),
    ],
)
def test_a_missing_cell_or_assert_is_an_error(lesson, cell, shown, message):
    claim = Claim("x", "part", "code", "text", by_check("holds", "so"), lesson, cell, shown)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        claim.judge(STORED)
