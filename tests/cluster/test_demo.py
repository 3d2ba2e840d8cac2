"""The demo, as a visitor runs it: it ends well, and its pictures show what the adapters are for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorapool_local.binaries import Binaries
from lorapool_local.demo.story import COLUMNS, PROMPTS
from lorapool_models.adapters.recipes import RECIPES
from lorapool_models.pictures.judge import judge
from lorapool_models.pictures.palette import Pixels
from lorapool_models.show.evaluate import Ask, mean_effect

# It downloads nothing and builds nothing here: the programs are there. It takes a minute or two.
WITHIN_S = 500
# More of an adapter's effect than the base's own pictures of the same prompts have.
PLAIN_TO_SEE = 0.15

pytestmark = pytest.mark.timeout(WITHIN_S + 60)


@pytest.fixture(scope="module")
def output(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with its pictures."""
    folder = tmp_path_factory.mktemp("demo")
    told = subprocess.run(
        [Path(sys.executable).with_name("lorapool"), "demo", "--exit", "--output", folder / "output"],
        env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert "base again is the same bytes as base" in told.stdout
    assert list((folder / "state").glob("*/*")) == [], "the plane's folder is left behind"
    return folder / "output"


def pictures(output: Path, title: str) -> list[Pixels]:
    name = title.replace(" + ", "+").replace(" ", "-")
    files = [output / f"{name}-{number}.png" for number in range(1, 1 + len(PROMPTS))]
    return [_pixels(file) for file in files]


def _pixels(file: Path) -> Pixels:
    with Image.open(file) as picture:
        pixels: Pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
    return pixels


def asks(shape: str = "") -> list[Ask]:
    """What its prompts ask for."""
    found = [re.fullmatch(r"a (\w+) (\w+) on a (\w+) background", prompt) for prompt in PROMPTS]
    return [Ask(shape or match[2], match[1], match[3]) for match in found if match]


def test_the_base_draws_what_it_is_asked_for(output: Path) -> None:
    for picture, ask in zip(pictures(output, "base"), asks(), strict=True):
        seen = judge(picture)
        assert Ask(seen.shape, seen.colour, seen.background) == ask


# Four of its steps are as good as six of the base's: that is all that there is to see.
@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if not recipe.few_steps])
def test_an_adapter_s_pictures_show_what_it_is_for(name: str, output: Path) -> None:
    recipe = RECIPES[name]
    (column,) = (column for column in COLUMNS if column.title == name)
    asked = asks(column.shape)
    without = mean_effect(pictures(output, "base"), asked, recipe)
    assert mean_effect(pictures(output, name), asked, recipe) > without + PLAIN_TO_SEE


def test_every_column_is_on_the_contact_sheet(output: Path) -> None:
    with Image.open(output / "contact-sheet.png") as sheet, Image.open(output / "base-1.png") as picture:
        assert sheet.width * sheet.height >= picture.width * picture.height * len(COLUMNS) * len(PROMPTS)
