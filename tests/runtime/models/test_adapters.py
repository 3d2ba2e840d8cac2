"""Every network in its layout: what is written is read again, by diffusers or by the layout's own formula."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline
from safetensors.torch import load_file
from torch import Tensor

from lorapool_models.adapters import distil, kohya, lora, pivotal, train
from lorapool_models.adapters.lora import Layout, NetworkConfig, NetworkType
from lorapool_models.adapters.recipes import RECIPES, AdapterRecipe
from lorapool_models.base import architecture, denoiser
from lorapool_models.pictures.outlines import SHAPES
from lorapool_models.show import evaluate, untrained

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    pipeline = architecture.make(root / "vocabulary", 0, untrained.SIZE)
    architecture.save(pipeline, root / architecture.NAME)
    return root


def load(weights: Path) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(weights / architecture.NAME)


@torch.no_grad()
def answer(pipeline: Any) -> Tensor:
    """What the denoiser says of one noisy picture: every part that an adapter can change has a say in it."""
    model = denoiser.Denoiser(pipeline)
    ids = denoiser.token_ids(pipeline.tokenizer, [denoiser.PROMPTS[0]])
    noisy = torch.randn(1, 4, architecture.LATENT, architecture.LATENT, generator=torch.Generator().manual_seed(0))
    said: Tensor = model(noisy, torch.tensor([500]), *model.read(ids))
    return said


@pytest.mark.parametrize("name", RECIPES)
def test_an_adapter_that_was_written_is_the_one_that_was_trained(name: str, weights: Path, tmp_path: Path) -> None:
    shape = RECIPES[name].network
    trained = load(weights)
    plain = answer(trained)
    lora.put_on(trained, shape, seed=1, random_up=0.3)
    for component in shape.components:
        getattr(trained, component).half().float()  # files are in half precision
    expected = answer(trained)
    lora.write(trained, shape, tmp_path / name)
    read = load(weights)
    lora.read(read, shape, tmp_path / name)
    assert (expected - plain).abs().max() > 1e-2
    torch.testing.assert_close(answer(read), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["sunset", "frame"])
def test_loha_and_lokr_files_hold_what_their_formulas_say(name: str, weights: Path, tmp_path: Path) -> None:
    shape = RECIPES[name].network
    pipeline = load(weights)
    lora.put_on(pipeline, shape, seed=1, random_up=0.3)
    lora.write(pipeline, shape, tmp_path / name)
    file = load_file(tmp_path / name / f"{name}.safetensors")
    changed = {n: m for n, m in pipeline.unet.named_modules() if hasattr(m, "get_delta_weight") and "." in n}
    assert any(module.weight.ndim == 4 for module in changed.values())
    for module_name, module in changed.items():
        prefix = kohya.prefix("unet", module_name)
        own = {k.removeprefix(f"{prefix}."): v.double() for k, v in file.items() if k.startswith(f"{prefix}.")}
        delta = by_formula(own, shape).reshape(module.weight.shape)
        assert delta.abs().max() > 0
        torch.testing.assert_close(delta.float(), module.get_delta_weight("default"), rtol=1e-2, atol=1e-3)


def by_formula(own: dict[str, Tensor], shape: NetworkConfig) -> Tensor:
    """LyCORIS: (w1_a w1_b) * (w2_a w2_b) and w1 (x) w2, times alpha / rank; here alpha is the rank."""
    assert float(own["alpha"]) == shape.rank
    if shape.network == NetworkType.LOHA:
        return (own["hada_w1_a"] @ own["hada_w1_b"]) * (own["hada_w2_a"] @ own["hada_w2_b"])
    large = own["lokr_w2"] if "lokr_w2" in own else own["lokr_w2_a"] @ own["lokr_w2_b"]
    if large.ndim == 4:
        large = large.flatten(2).permute(2, 0, 1)
        return torch.stack([torch.kron(own["lokr_w1"], tap) for tap in large], dim=-1)
    return kron_of_convolution(own["lokr_w1"], large)


def kron_of_convolution(small: Tensor, large: Tensor) -> Tensor:
    """A low-rank second factor is flat: its columns hold the kernel too, which stays innermost."""
    return torch.kron(small, large)


def test_mixed_ranks_are_in_the_file(weights: Path, tmp_path: Path) -> None:
    shape = RECIPES["crescent"].network
    pipeline = load(weights)
    lora.put_on(pipeline, shape, seed=1)
    lora.write(pipeline, shape, tmp_path / "crescent")
    file = load_file(tmp_path / "crescent" / "crescent.safetensors")
    assert {len(tensor) for key, tensor in file.items() if key.endswith("lora_down.weight")} == {2, 4, 8}


def test_layouts_that_have_no_such_network_are_refused() -> None:
    for network, layout in [(NetworkType.LOHA, Layout.DIFFUSERS), (NetworkType.DORA, Layout.KOHYA)]:
        with pytest.raises(ValueError, match="layout"):
            NetworkConfig(layout, network=network)
    with pytest.raises(ValueError, match="alpha"):
        NetworkConfig(Layout.KOHYA, rank=8, alpha=4, network=NetworkType.LOKR)


@pytest.mark.parametrize("name", ["night", "polka", "fast"])
def test_training_changes_only_what_the_adapter_holds(name: str, weights: Path, tmp_path: Path) -> None:
    given = RECIPES[name]
    recipe = AdapterRecipe(
        given.name, given.effect, given.trigger, given.network, given.style,
        tokens=given.tokens, few_steps=given.few_steps, pictures=4, steps=2, batch=2,
    )  # fmt: skip
    out = tmp_path / name
    train.train(recipe, weights / architecture.NAME, out, tmp_path / "checkpoints", seed=0)
    (file,) = [path for path in out.glob("*.safetensors") if path.name != pivotal.FILE]
    ups = [tensor for key, tensor in load_file(file).items() if "lora_B" in key]
    assert any(tensor.abs().max() > 0 for tensor in ups)
    assert all(tensor.isfinite().all() for tensor in ups)
    assert "base_model: lorapool/shapes-xl" in (out / "README.md").read_text()
    if recipe.tokens:
        rows = load_file(out / pivotal.FILE)
        assert {key: tuple(r.shape) for key, r in rows.items()} == {"clip_l": (2, 16), "clip_g": (2, 32)}


def test_only_new_words_learn(weights: Path) -> None:
    pipeline = load(weights)
    tables = pivotal.add(pipeline, 2, like="style")
    ids = denoiser.token_ids(pipeline.tokenizer, ["a red circle in <s0><s1> style"])
    states, pooled = denoiser.Denoiser(pipeline).read(ids)
    (states.sum() + pooled.sum()).backward()  # type: ignore[no-untyped-call]
    for table in tables:
        assert table.grad is not None
        learned = table.grad.abs().sum(1) > 0
        assert learned[-2:].all()
        assert not learned[:-2].any()


def test_picture_and_noise_are_found_again_in_their_blend() -> None:
    kept = torch.tensor([0.99, 0.5, 0.0])
    picture, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    found = distil.split(*denoiser.blend(picture, noise, kept), kept)
    torch.testing.assert_close(found, (picture, noise))


def test_a_student_is_taught_at_the_timesteps_of_the_lcm_scheduler() -> None:
    scheduler = LCMScheduler(beta_schedule="scaled_linear")
    scheduler.set_timesteps(evaluate.FEW_STEPS)
    assert tuple(scheduler.timesteps.tolist()) == distil.STARTS


def test_new_words_travel_with_their_adapter(weights: Path, tmp_path: Path) -> None:
    taught = load(weights)
    pivotal.add(taught, 2, like="style")
    with torch.no_grad():
        taught.text_encoder.get_input_embeddings().weight[-2:] += 1
    pivotal.write(taught, 2, tmp_path)
    read = load(weights)
    pivotal.read(read, 2, tmp_path)
    for component in ("text_encoder", "text_encoder_2"):
        rows = [getattr(p, component).get_input_embeddings().weight[-2:] for p in (read, taught)]
        torch.testing.assert_close(*rows, rtol=1e-3, atol=1e-3)


def test_prompts_of_the_figures_are_the_same_in_every_run_and_name_every_shape_as_often() -> None:
    asked = evaluate.asks(60)
    assert asked == evaluate.asks(60)
    assert {sum(ask.shape == shape for ask in asked) for shape in SHAPES} == {10}
    assert all(ask.colour != ask.background for ask in asked)


def test_figures_of_an_untrained_model_are_poor_and_printed_as_a_table(weights: Path) -> None:
    figures = evaluate.base_figures(weights, 2)
    assert figures.shape == 0
    assert f"| `{architecture.NAME}` | 0% |" in evaluate.table([figures])
