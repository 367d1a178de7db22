"""`python -m fedlab study`: what it writes, what it leaves alone, and what it says of a mistake."""

import shlex
import signal
import subprocess
import sys

import pandas as pd
import pytest
from helpers import studies, tiny

from fedlab import data
from fedlab.__main__ import main
from fedlab.experiments import command, execution, report
from fedlab.experiments import studies as study_list
from fedlab.experiments.config import RunConfig
from fedlab.experiments.plans import PLANS

CONFIGS = [
    studies.CONFIG,
    studies.change(name="rate (0.2)", group="rate", client_learning_rate=0.2),
    studies.change(name="too far", group="rate", client_learning_rate=1e38),
]
METHODS = [
    studies.change(
        name=f"{method} | {setting}", group=setting, stop_at_accuracy=0.5, **how, **where
    )
    for setting, where in {"IID": {"partition": "iid"}, "writers": {}}.items()
    for method, how in {"FedAvg": {}, "faster": {"num_clients": 7}}.items()
]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The command on two small studies of small data, in a folder of its own."""
    plans = {"rates": CONFIGS, "methods": METHODS}
    built = {name: studies.build_study(*configs, name=name) for name, configs in plans.items()}
    monkeypatch.setattr(command, "PLANS", plans)
    monkeypatch.setattr(study_list, "STUDIES", built)
    monkeypatch.setattr(data, "load", lambda name: studies.create_dataset())
    monkeypatch.setattr(data, "show_name", lambda name: "tiny")
    monkeypatch.chdir(tmp_path)


def call(text: str) -> int:
    return main(["study", *shlex.split(text)])


def run_whole(name="rates", seeds=2):
    assert call(f"{name} --seeds {seeds} --folder runs") == 0
    return report.read_csv(report.result_paths("results", name, "tiny")[0])


def test_the_study_writes_a_row_a_run_and_its_curves(capsys, tmp_path):
    runs = run_whole()
    assert "0 of 6 runs on tiny are in runs already" in capsys.readouterr().out
    assert runs.name.tolist() == [config.name for config in CONFIGS for _ in range(2)]
    assert runs.seed.tolist() == [0, 1] * 3
    assert [RunConfig.from_row(row) for _, row in runs.iterrows()][::2] == CONFIGS
    assert runs.diverged_in_round.notna().tolist() == [False] * 4 + [True] * 2
    curves = report.read_csv(tmp_path / "results" / "rates_tiny_curves.csv")
    assert list(curves) == ["name", "seed", "round_num", "eval_accuracy", "eval_loss"]
    one = curves[(curves.name == "small") & (curves.seed == 1)]
    assert one.round_num.tolist() == [0, 1, 2, 3]
    assert one.eval_accuracy.iloc[-1] == pytest.approx(runs.accuracy[1], abs=5e-6)
    run_whole()
    assert "6 of 6 runs on tiny are in runs already" in capsys.readouterr().out


def test_a_row_s_command_gives_the_row_again_to_the_last_bit(capsys, monkeypatch, tmp_path):
    runs = run_whole()
    before = (tmp_path / "results" / "rates_tiny.csv").read_bytes()
    for text in runs.command[:4]:
        python, *rest = shlex.split(text)
        assert (python, rest[:3]) == ("python", ["-m", "fedlab", "study"])
        capsys.readouterr()
        assert main(rest[2:]) == 0
        assert "The same numbers" in capsys.readouterr().out
    for _, row in runs.iterrows():
        config, dataset = RunConfig.from_row(row), studies.create_dataset()
        records = execution.run(config, dataset, row.seed, create_fn=studies.create_model)
        assert execution.summarize(records)["accuracy"] == row.accuracy
        assert execution.summarize(records)["loss"] == row.loss
    assert (tmp_path / "results" / "rates_tiny.csv").read_bytes() == before


def test_a_row_that_does_not_repeat_is_said(capsys, tmp_path):
    runs = run_whole()
    path = tmp_path / "results" / "rates_tiny.csv"
    report.write_csv(path, runs.assign(loss=runs.loss + 1e-12))
    assert call("rates --only '^small$' --seed 0 --again") == 1
    assert "loss: " in capsys.readouterr().out
    report.write_csv(path, runs.assign(client_learning_rate=0.3))
    assert call("rates --only '^small$' --seed 0 --again") == 1
    assert "another configuration" in capsys.readouterr().out
    path.unlink()
    assert call("rates --only '^small$' --seed 0 --again") == 0
    assert "does not have this row" in capsys.readouterr().out


def test_a_part_is_shown_and_leaves_the_results_alone(capsys, tmp_path):
    run_whole()
    before = (tmp_path / "results" / "rates_tiny.csv").read_bytes()
    assert call("rates --only rate --seed 7 --folder runs") == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:3] == ["rate", "(0.2)", "7"]
    assert call("rates --only rate --seeds 3 --folder runs") == 0
    assert (tmp_path / "results" / "rates_tiny.csv").read_bytes() == before


def test_results_give_way_to_no_fewer_seeds_and_no_other_data(capsys, monkeypatch, tmp_path):
    run_whole(seeds=2)
    before = (tmp_path / "results" / "rates_tiny.csv").read_bytes()
    assert call("rates --seeds 1 --folder runs") == 2
    assert "also holds the seeds 1, and would lose them. Give --seeds 2" in capsys.readouterr().err
    other = studies.create_dataset(test=studies.TRAIN)
    monkeypatch.setattr(data, "load", lambda name: other)
    assert call("rates --seeds 2 --folder other") == 2
    assert "holds results of other data named 'tiny'" in capsys.readouterr().err
    assert (tmp_path / "results" / "rates_tiny.csv").read_bytes() == before


def test_the_report_is_made_from_the_csv(tmp_path):
    runs = run_whole()
    assert call("rates --report") == 0
    text = (tmp_path / "results" / "rates_tiny.md").read_text()
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [cells[1] for cells in table[2:]] == [config.name for config in CONFIGS]
    means = runs.groupby("name", sort=False).accuracy.mean()
    assert [cells[2] for cells in table[2:]] == [f"{mean:.2%}" for mean in means]
    difference = 100 * (means["rate (0.2)"] - means["small"])
    assert table[3][3].startswith(f"{difference:+.2f} [")
    assert table[2][3] == "–"
    assert "“too far” diverged in 2 of 2 seeds (round " in text


def test_the_report_of_methods_by_setting_is_in_mcmahan_s_form(tmp_path):
    runs = run_whole("methods", seeds=3)
    assert call("methods --report") == 0
    text = (tmp_path / "results" / "methods_tiny.md").read_text()
    assert "| method | IID | writers |" in text
    assert runs.rounds_to_target.isna().all()  # random greys: nobody gets there
    assert "| faster | not reached in 3 rounds | not reached in 3 rounds |" in text
    assert "Rounds until 50.0%" in text


@pytest.mark.parametrize(
    "text, message",
    [
        ("rate", "no study 'rate'. Did you mean 'rates'"),
        ("xyz", "no study 'xyz'. Choose from: rates, methods"),
        ("", "Name a study: rates, methods"),
        ("rates --only sma11", "finds none of the study's configurations: 'small', 'rate"),
        ("rates --only '('", "must be a regular expression"),
        ("rates --seed -1", "--seed must be at least 0. Found -1"),
        ("rates --seeds 0", "--seeds must be at least 1. Found 0"),
        ("rates --report", "There is no file 'results/rates_tiny.csv'. Run the study first"),
        ("rates --folder .", "is not a study's folder"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(capsys, tmp_path, text, message):
    (tmp_path / "something").write_text("")
    assert call(text) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_the_list_shows_every_configuration(capsys):
    assert call("--list") == 0
    out = capsys.readouterr().out
    assert (
        "rates: 3 configurations" in out and "  rate: rate (0.2)" in out and "FedAvg | IID" in out
    )


STOPPED = """
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    from helpers import studies
    from fedlab.__main__ import main
    from fedlab import data
    from fedlab.experiments import command, execution
    from fedlab.experiments import studies as study_list

    configs = [studies.CONFIG, studies.change(name="endless", num_rounds=10**6)]
    command.PLANS = {"rates": configs}
    study_list.STUDIES = {"rates": studies.build_study(*configs)}
    data.load = lambda name: studies.create_dataset()
    run = execution.run

    def announced(*args, **options):
        print("begin", args[0].name, flush=True)
        return run(*args, **options)

    execution.run = announced
    sys.exit(main(["study", "rates", "--seeds", "1", "--folder", FOLDER, "--out", FOLDER + "/out"]))
"""


def test_the_stop_button_keeps_what_is_done(tmp_path):
    folder = tmp_path / "runs"
    code = STOPPED.replace("FOLDER", repr(str(folder)))
    with tiny.start(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for line in process.stdout:
            if line == "begin endless\n":
                break
        try:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=tiny.TIMEOUT)
        finally:
            process.kill()  # its run has no end
    assert process.returncode == 130, err
    assert "Stopped. Finished runs are kept" in err and "Traceback" not in err
    assert len(list(folder.glob("*_0.json"))) == 1
    assert not (folder / "out").exists()


def test_the_list_does_not_load_tensorflow_or_pandas():
    code = (
        "import sys; from fedlab.__main__ import main; main(['study', '--list']); "
        "sys.exit(bool({'tensorflow', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, cwd=studies.ROOT
    )
    assert done.returncode == 0


def test_whole_numbers_stay_whole_in_the_csv(tmp_path):
    path = tmp_path / "x.csv"
    report.write_csv(path, pd.DataFrame({"rounds_to_target": [3, None], "loss": [0.1, 1 / 3]}))
    assert path.read_text() == "rounds_to_target,loss\n3,0.1\n,0.3333333333333333\n"


@pytest.mark.parametrize("digest", ["12345678901234e5", "1234567890123456", "0012345678901234"])
def test_a_digest_that_looks_like_a_number_stays_a_text(digest, tmp_path):
    path = tmp_path / "x.csv"
    report.write_csv(path, pd.DataFrame({"dataset_sha256": [digest], "loss": [1 / 3]}))
    read = report.read_csv(path)
    assert read.dataset_sha256.tolist() == [digest]
    assert read.loss.tolist() == [1 / 3]


@pytest.mark.parametrize(
    "path", sorted((studies.ROOT / "results").glob("*_curves.csv")), ids=lambda path: path.stem
)
def test_the_stored_studies_are_still_read(path):
    runs = report.read_csv(path.with_name(path.name.replace("_curves", "")))
    assert runs.dataset_sha256.str.fullmatch("[0-9a-f]{16}").all()
    plan = next(name for name in PLANS if path.stem.startswith(name))
    from_row = type(PLANS[plan][0]).from_row
    assert len({from_row(row).name for _, row in runs.iterrows()}) == runs.name.nunique()
    assert set(report.read_csv(path).name) == set(runs.name)
