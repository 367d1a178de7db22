"""The base of all configurations: checked settings, a line of a CSV file, and a key of the values."""

import dataclasses
import difflib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform

import pydantic
from pydantic import BeforeValidator, Field

# The columns of every results file, before and after those that only its study has.
FIRST_COLUMNS = ("seed", "dataset", "dataset_sha256")
LAST_COLUMNS = ("versions", "machine", "command")


def _to_python(value: Any) -> Any:
    is_scalar = getattr(value, "shape", None) == ()
    return value.item() if is_scalar else value  # NumPy's numbers and truth values


def _refuse_text_and_truth(value: Any) -> Any:
    """Pydantic would take "0.1", b"5" and True for numbers."""
    value = _to_python(value)
    if isinstance(value, str | bytes | bool):
        raise ValueError("must be a number")
    return value


def _refuse_numbers(value: Any) -> Any:
    """Pydantic would take 1 and "yes" for True."""
    value = _to_python(value)
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


_MAX_COUNT = 2**31 - 1  # as in `fedlab.checks`, which loads NumPy
_Number = Annotated[
    float, BeforeValidator(_refuse_text_and_truth), Field(allow_inf_nan=False, strict=False)
]
Number = _Number
Label = Annotated[str, Field(min_length=1, strict=True)]
Flag = Annotated[bool, BeforeValidator(_refuse_numbers)]
Count = Annotated[int, BeforeValidator(_refuse_text_and_truth), Field(ge=1, le=_MAX_COUNT)]
CountOrZero = Annotated[int, BeforeValidator(_refuse_text_and_truth), Field(ge=0, le=_MAX_COUNT)]
Rate = Annotated[_Number, Field(ge=0)]
ProperFraction = Annotated[_Number, Field(ge=0, lt=1)]
Share = Annotated[_Number, Field(gt=0, le=1)]
Positive = Annotated[_Number, Field(gt=0)]
PositiveOrInfinite = Annotated[float, BeforeValidator(_refuse_text_and_truth), Field(gt=0)]


class Config:
    """The configuration of one run, up to its seed. Its subclasses are made by `config_class`.

    Class attributes:
        LABELS: The settings that only name the run. The first is the column by which a results file
            is read; its value differs for each configuration of a study.
        REQUIRED: The settings without which a line of a file is not of this study's results.
        RESULTS: The columns that the study's results file has besides settings and common columns.
        GONE: Columns of older files, for settings that the study no longer has.
        KEY_PREFIX: Makes the keys of one class differ from those of another.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "num_rounds")
    RESULTS: ClassVar[tuple[str, ...]] = ()
    GONE: ClassVar[tuple[str, ...]] = ()
    KEY_PREFIX: ClassVar[str] = ""
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def label(self) -> str:
        """What a table calls the run."""
        return getattr(self, self.LABELS[0])

    @classmethod
    def from_row(cls: type["ConfigT"], row: Mapping[str, Any]) -> "ConfigT":
        """Makes a configuration out of a line of a results file.

        A column that the line lacks has its default: the file was written before there was such a
        setting. A column of `GONE` is passed over.

        Args:
            row: Column to value, as from `csv.DictReader` or a row of a pandas table; an empty
                text and NaN stand for `None`. The columns of the results are passed over.

        Raises:
            ValueError: A column is unknown, the row is not of this study's results, or a value is
                bad.
        """
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        for column in dict(row):
            known = [*types, *FIRST_COLUMNS, *cls.RESULTS, *LAST_COLUMNS, *cls.GONE]
            check_name("column", column, known)
        if lacking := [name for name in cls.REQUIRED if name not in row]:
            raise ValueError(f"The row lacks {', '.join(lacking)}: it is not of a study's results.")
        return cls(**{name: _parse(row[name], types[name]) for name in types if name in row})

    def to_row(self) -> dict[str, Any]:
        """Returns column to value, what `from_row` reads."""
        return dataclasses.asdict(self)

    @property
    def key(self) -> str:
        """16 hexadecimal digits of what is computed: all settings that differ from their defaults.

        So a setting that is added later changes no key; a default must never change. Labels do not
        count.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        values = {
            name: value
            for name, value in self.to_row().items()
            if name not in self.LABELS and value != defaults[name]
        }
        text = self.KEY_PREFIX + json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


ConfigT = TypeVar("ConfigT", bound=Config)
_Checked = TypeVar("_Checked")


def vary(config: ConfigT, **changes: Any) -> ConfigT:
    """Returns the configuration with some settings changed.

    Args:
        config: The configuration to start from; it stays as it is.
        **changes: Setting to new value.

    Raises:
        ValueError: A value is bad.
    """
    return dataclasses.replace(config, **changes)


@dataclass_transform(frozen_default=True)
def config_class(config_type: type[_Checked]) -> type[_Checked]:
    """Makes a frozen pydantic dataclass whose errors name the setting, the value and the remedy.

    Args:
        config_type: A class with annotated settings, such as a subclass of `Config`.

    Returns:
        The class, which raises ValueError for a bad value.
    """
    checked: Any = pydantic.dataclasses.dataclass(frozen=True)(config_type)
    validate = checked.__init__

    @functools.wraps(validate)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except pydantic.ValidationError as error:
            raise ValueError(_explain(error.errors()[0])) from None

    checked.__init__ = init
    return checked


def _explain(error: Mapping[str, Any]) -> str:
    name, value = ".".join(map(str, error["loc"])), error["input"]
    if error["type"] == "literal_error":
        known = re.findall(r"'(\w+)'", error["ctx"]["expected"])
        return describe_unknown_name(name, value, known)
    if not name:  # settings that do not go together
        return str(error["ctx"]["error"])
    message = re.sub(r"^(Value error,|(Input|String) should)", "must", error["msg"])
    return f"{name} {message.replace('must must', 'must')}. Found {value!r}."


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ValueError for a name that is not among the known ones, with those that come near."""
    known = list(known)
    if name not in known:
        raise ValueError(describe_unknown_name(kind, name, known))


def describe_unknown_name(kind: str, name: Any, known: Iterable[str]) -> str:
    """Returns the error text for a name that is not among the known ones, with those that come near."""
    known = list(known)
    near = [repr(each) for each in difflib.get_close_matches(str(name), known)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from: {', '.join(known)}."
    return f"There is no {kind} {name!r}. {hint}"


def _parse(value: Any, kind: Any) -> Any:
    """Undoes what a CSV file does to a value."""
    if value == "" or value is None or value != value:
        return None
    if not isinstance(value, str):
        return value
    if value in ("True", "False") and kind is Flag:
        return value == "True"
    try:
        return float(value)
    except ValueError:
        return value
