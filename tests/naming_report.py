"""Counts the names in fedlab/ that do not say what they stand for: `./lab lint --report`. No gate.

A stored name is one that the code gives: to a variable, an attribute, a parameter, a function, a class
or an import's alias. It is counted when one of its words, split at underscores and capitals, is listed.
"""

import ast
import collections
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fedlab"
VAGUE_WORDS = frozenset("found one ones own held kept what there begun mine ours theirs".split())


def stored_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case (
                ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name))
            ):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name


def is_vague(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return not VAGUE_WORDS.isdisjoint(words)


def room(path: Path) -> str:
    """Returns the folder below the package, or the module that stands beside the folders."""
    return path.relative_to(PACKAGE).parts[0]


def main() -> None:
    totals: collections.Counter[str] = collections.Counter()
    vague: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for path in sorted(PACKAGE.rglob("*.py")):
        names = list(stored_names(ast.parse(path.read_text(encoding="utf-8"))))
        totals[room(path)] += len(names)
        vague[room(path)].update(filter(is_vague, names))
    print(f"{'room':20} {'names':>6} {'vague':>6} {'share':>6}  the most frequent")
    for name in sorted(totals, key=lambda name: (-vague[name].total(), name)):
        _print_row(name, totals[name], vague[name])
    _print_row("all", totals.total(), sum(vague.values(), collections.Counter()))


def _print_row(name: str, num_names: int, vague: collections.Counter[str]) -> None:
    frequent = ", ".join(f"{word} {count}" for word, count in vague.most_common(4))
    share = vague.total() / max(num_names, 1)
    print(f"{name:20} {num_names:6} {vague.total():6} {share:6.1%}  {frequent}")


if __name__ == "__main__":
    main()
