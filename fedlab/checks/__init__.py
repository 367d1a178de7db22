"""Checks of what a user passes, shared by all rooms: each error names the parameter and the value.

A check returns the value in its plain Python or NumPy type, so that a caller goes on with what was
checked. A kind of value has one check and one place:

- numbers: `check_number`, `check_count`, `check_seed`
- names: `check_text`, `check_choice`, `check_ids`, `check_flag`, `check_path`
- arrays: `check_array`, `check_labels`, `check_pixels`, `check_bools`
- objects: `check_instance`, `check_callable`, `check_mapping`, `check_table`, `check_not_empty`
"""

from fedlab.checks.arrays import (
    check_array,
    check_bools,
    check_labels,
    check_pixels,
    warn_if_inverted,
)
from fedlab.checks.describing import describe
from fedlab.checks.names import check_choice, check_flag, check_ids, check_path, check_text
from fedlab.checks.numbers import INT32_MAX, check_count, check_number, check_seed
from fedlab.checks.objects import (
    check_callable,
    check_instance,
    check_list,
    check_mapping,
    check_not_empty,
    check_table,
)

__all__ = [
    "INT32_MAX",
    "check_array",
    "check_bools",
    "check_callable",
    "check_choice",
    "check_count",
    "check_flag",
    "check_ids",
    "check_instance",
    "check_labels",
    "check_list",
    "check_mapping",
    "check_not_empty",
    "check_number",
    "check_path",
    "check_pixels",
    "check_seed",
    "check_table",
    "check_text",
    "describe",
    "warn_if_inverted",
]
