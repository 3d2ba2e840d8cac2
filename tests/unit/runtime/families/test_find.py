"""Which family a base is of, by its files and its name; and what of its index is never loaded."""

import json
from pathlib import Path

import pytest

from lorapool_runtime.engine.diffusers.base.by_family import family_in
from lorapool_runtime.engine.diffusers.base.pipeline import _index
from lorapool_runtime.engine.diffusers.families.find import family_of, tasks_of
from lorapool_runtime.engine.diffusers.families.table import FAMILIES
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.errors import ModelError

DOCS = Path(__file__).parents[4] / "docs" / "models.md"


@pytest.mark.parametrize(
    ("index", "denoiser", "name", "family"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, {"cross_attention_dim": 768}, "sd/v1-5", "SD 1.x"),
        ({"_class_name": "StableDiffusionPipeline"}, {"cross_attention_dim": 1024}, "sd/2-1", "SD 2.x"),
        ({"_class_name": "StableDiffusionPipeline"}, {"cross_attention_dim": 1024}, "sd/sd-turbo", "SD turbo"),
        ({"_class_name": "StableDiffusionXLPipeline"}, {}, "stabilityai/sdxl-turbo", "SDXL turbo"),
        (
            {"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True},
            {},
            "xl-refiner",
            "SDXL refiner",
        ),
        ({"_class_name": "FluxPipeline"}, {"guidance_embeds": True}, "FLUX.1-dev", "Flux.1"),
        ({"_class_name": "FluxPipeline"}, {"guidance_embeds": False}, "mine", "Flux.1 schnell"),
        ({"_class_name": "ZImagePipeline"}, {}, "Tongyi-MAI/Z-Image-Turbo", "Z-Image turbo"),
        ({"_class_name": "Flux2KleinPipeline", "is_distilled": True}, {}, "klein", "Flux.2 klein"),
    ],
)
def test_a_family_is_known_by_its_files_or_its_name(
    index: dict[str, object], denoiser: dict[str, object], name: str, family: str
) -> None:
    found = family_of(index, denoiser, name)
    assert found is not None
    assert found.name == family


def test_a_class_that_the_table_does_not_have_is_no_family() -> None:
    assert family_of({"_class_name": "StableVideoDiffusionPipeline"}, {}) is None


def test_a_class_that_cannot_be_served_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Kandinsky5T2IPipeline is not served: it makes pictures of seven sizes"):
        family_in(tmp_path, {"_class_name": "Kandinsky5T2IPipeline"}, "base")


def test_the_page_on_models_says_of_each_family_what_the_table_has() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    said = {row[0]: row[1:] for row in rows if len(row) == 8}
    for family in FAMILIES:
        can, defaults = tasks_of(family), family.defaults
        looks = "looks at it" if family.edits else "yes"
        wanted = [
            "yes" if Task.TEXT_TO_IMAGE in can else "no",
            looks if Task.IMAGE_TO_IMAGE in can else "no",
            "yes" if Task.INPAINTING in can else "no",
            family.dtype.value,
            str(defaults.steps),
            f"{defaults.guidance_scale:g}",
            defaults.sampler.value if defaults.sampler else "its own",
        ]
        assert said[family.name] == wanted, family.name


def test_the_checker_of_content_that_sd15_names_is_no_code_of_a_model(tmp_path: Path) -> None:
    """Repositories of SD 1.x name it by its folder in diffusers; it is never loaded."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert _index(tmp_path) == index
