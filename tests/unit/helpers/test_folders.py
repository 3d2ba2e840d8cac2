"""A folder shows its files at a glance, and a file is read without scrolling back."""

from collections import Counter
from pathlib import PurePath

from tests.unit.helpers.sources import ROOT, modules, modules_of_tests

MOST_FILES = 11
MOST_LINES = 250
MOST_LINES_OF_TESTS = 300


def _large_folders() -> set[str]:
    paths = [PurePath(path) for path in (*modules(), *modules_of_tests())]
    files = Counter(str(path.parent) for path in paths if path.name != "__init__.py")
    return {folder for folder, count in files.items() if count > MOST_FILES}


def _lines(path: str) -> int:
    return len((ROOT / path).read_text("utf-8").splitlines())


def _long_files() -> set[str]:
    long = {path for path in modules() if _lines(path) > MOST_LINES}
    return long | {path for path in modules_of_tests() if _lines(path) > MOST_LINES_OF_TESTS}


def test_no_folder_has_more_files_than_a_glance_takes() -> None:
    assert _large_folders() == set()


def test_no_file_is_longer_than_is_read_in_one_go() -> None:
    assert _long_files() == set()
