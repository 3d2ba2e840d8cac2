"""Names are those of the field: of Kubernetes, diffusers, PEFT, safetensors and of inference servers.

CONTRIBUTING's glossary says them, each once, in order, with a name of the code that exists.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

from tests.unit.helpers.sources import ROOT, modules

# Whoever looks for a thing looks for its usual name; behind each stands what has it now.
WORDS = {
    "bring": "fetch, load",
    "bringer": "FileLoader",
    "companions": "batch_with",
    "dice": "generators",
    "fetch_beside": "fetch_sidecar",
    "gain": "magnitude_ratio",
    "going": "terminating",
    "hear": "apply",
    "heard": "update",
    "ill": "on_unhealthy",
    "in_force": "active",
    "journey": "InFlight",
    "keep_trying": "load_until_warm",
    "keeper": "BaseLoader",
    "look_ahead": "prefetch",
    "made_of": "weight_shape",
    "poke": "refresh",
    "put_in_force": "activate",
    "read_up": "drop_pages",
    "shadows": "MergedWeights",
    "shelf": "Indexer, Cache",
    "sitting": "ForwardBatch",
    "sittings": "ForwardBatch",
    "stir": "_notify",
    "taken_apart": "readings",
    "told": "progress_reporter",
    "travel": "run",
    "unheard": "no_steps",
    "untold": "no_progress",
    "want": "set_desired",
    "where_it_goes": "predicted_x0",
    "wish": "RenderRequest",
    "worth": "min_slice_ratio",
}
CLASSES = {
    "Added": "Unmerged",
    "BaseKeeper": "BaseLoader",
    "Beside": "Sidecars",
    "Change": "ModuleDelta",
    "Held": "CatalogSlot",
    "Job": "QueueEntry",
    "Judge": "check",
    "Judgement": "CheckResult",
    "Link": "PodLink",
    "Loaded": "DeviceAdapter",
    "Made": "WeightShape",
    "Memory": "ReportLog",
    "Mixed": "PerRow",
    "News": "EventDraft",
    "NodeServices": "NodeDeps",
    "Note": "EventDraft",
    "OldStatus": "ReportedStatus",
    "Order": "RenderRequest",
    "Past": "PreviousRun",
    "Patient": "ProbeListener",
    "Place": "TargetModule",
    "Previews": "LatentPreview",
    "Rows": "RowSlice",
    "Rules": "QueueRules",
    "Shadows": "MergedWeights",
    "Sync": "Relister",
    "Talk": "PodReport",
    "Target": "TargetModule",
    "Turn": "TimeSlice",
    "Vocabulary": "TokenEmbeddings",
    "Waiting": "QueueEntry",
}


def _names(path: str, tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines, with its own and that of its folder."""
    yield from (PurePath(path).stem, PurePath(path).parent.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def _words(name: str) -> str:
    """`put_in_force` and `PutInForce` alike, with a bar on both sides."""
    return "_" + re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.strip("_")).lower() + "_"


def _defined() -> dict[str, set[str]]:
    """The files that define each name."""
    found: dict[str, set[str]] = {}
    for path, tree in modules().items():
        for name in _names(path, tree):
            found.setdefault(name, set()).add(path)
    return found


def _homely() -> dict[str, set[str]]:
    """Homely names that are there, with the files that define them."""
    defined = _defined()
    found = {name: defined[name] for name in CLASSES.keys() & defined.keys()}
    for name, paths in defined.items():
        for word in WORDS:
            if f"_{word}_" in _words(name):
                found.setdefault(word, set()).update(paths)
    return found


def _glossary() -> list[tuple[str, str]]:
    """(term, the names of the code) of each row."""
    _, _, rest = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("\n## Glossary\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [(row[0], row[-1]) for row in rows[2:]]


def test_no_name_is_homely_where_the_field_has_a_term() -> None:
    assert _homely() == {}


def test_what_has_the_usual_name_is_in_the_code() -> None:
    names = {name for names in (*WORDS.values(), *CLASSES.values()) for name in names.split(", ")}
    assert names - _defined().keys() == set()


def test_the_glossary_has_each_term_once_and_in_order() -> None:
    terms = [term.lower() for term, _ in _glossary()]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


def test_the_glossary_names_what_is_in_the_code() -> None:
    defined = _defined()
    named = [name for _, names in _glossary() for name in re.findall(r"`([\w.]+)`", names)]
    assert [name for name in named if not set(name.split(".")) <= defined.keys()] == []


def test_the_glossary_has_no_homely_word() -> None:
    named = [name for _, names in _glossary() for name in re.findall(r"`(\w+)`", names)]
    assert [name for name in named if name in CLASSES or any(f"_{word}_" in _words(name) for word in WORDS)] == []
