"""Five hundred rounds cost no more memory than fifty."""

from helpers.scripts import run_script

NUM_ROUNDS = 500


def test_five_hundred_rounds_leave_nothing_behind():
    seen = run_script(
        f"""
    from helpers import tiny
    from fedlab import runtime; from fedlab.data import sampling
    from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
    data = tiny.create_data(*range(1, 31))
    cohort_fn = build_cohort_fn(
        data,
        sampling.uniform(data.client_ids, 5, seed=1),
        Preprocessing(batch_size=5, shuffle=True, num_epochs=2),
    )
    runner = runtime.compile(tiny.build_process(), num_workers=2)
    state, seen = runner.initialize(), {{}}
    for round_num in range(1, {NUM_ROUNDS + 1}):
        state = runner.next(state, cohort_fn(round_num)).state
        if round_num in (50, {NUM_ROUNDS}):
            seen[round_num] = look()
    print(json.dumps(seen))
    """,
        seconds=300,
    )
    early, late = seen["50"], seen[str(NUM_ROUNDS)]
    assert late["memory"] < 1.05 * early["memory"]
    assert late["threads"] <= early["threads"]
    assert late["children"] == late["listening"] == []
