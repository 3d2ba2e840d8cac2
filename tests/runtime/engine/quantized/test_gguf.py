"""A denoiser in a GGUF file draws, with every kind of adapter, what the file's numbers draw in whole weights."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import GGUFQuantizationConfig, UNet2DConditionModel, ZImagePipeline, ZImageTransformer2DModel
from gguf import GGMLQuantizationType
from tests import tiny
from tests.families.own import OwnPipeline, changes_of
from tests.families.table import TINY
from tests.runtime.ask import distance, image, read, reference_image
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.engine.quantized import gguf_files
from tests.runtime.files import EVERY
from torch import nn

from lorapool_api.kinds.base_model import Offload, Quantization, QuantizationMethod
from lorapool_api.kinds.serving import ApplyMode
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.diffusers.packed.weights import is_packed
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.filterwarnings("ignore:.*`upcast_vae` is deprecated:FutureWarning")

# Of float32; diffusers' own reader unpacks in float16.
ROUNDING, COARSE, SEEN = 1, 2, 8
KINDS = ("lora kohya, mixed ranks, text too", "locon kohya", "dora diffusers", "loha kohya", "lokr peft, full factors")
Numbers = dict[str, torch.Tensor]


def of_file(file: Path, config: Path, mode: ApplyMode = ApplyMode.AUTO, **options: Any) -> DiffusersEngine:
    # Not validated: a temporary folder may have any name.
    return make_engine(file, mode, config=ModelSource.model_construct(hub=None, path=str(config)), **options)


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Numbers]:
    """The UNet in the names of diffusers; what the file says of its weights."""
    path = tmp_path_factory.mktemp("gguf") / "unet.gguf"
    return path, gguf_files.write(path, UNet2DConditionModel.from_pretrained(model / "unet").state_dict(), "sdxl")


@pytest.fixture(scope="module")
def config(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline without its denoiser's weights."""
    folder = tmp_path_factory.mktemp("config") / "base"
    shutil.copytree(model, folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    return folder


@pytest.fixture(scope="module")
def engine(written: tuple[Path, Numbers], config: Path) -> DiffusersEngine:
    return of_file(written[0], config)


def linears(engine: DiffusersEngine) -> list[Any]:
    return [module for module in engine.parts.pipeline.unet.modules() if isinstance(module, nn.Linear)]


def unpacked_reference(model: Path, numbers: Numbers) -> Any:
    pipeline = load_reference(model)
    pipeline.unet.load_state_dict(numbers)
    return pipeline


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_draws_as_merged_into_what_the_file_says(
    kind: str, engine: DiffusersEngine, written: tuple[Path, Numbers], model: Path, tmp_path: Path
) -> None:
    reference = unpacked_reference(model, written[1])
    base = reference_image(reference)
    assert distance(image(engine), base) <= ROUNDING
    adapter = read(engine, EVERY[kind](reference, tmp_path))
    wanted = reference_image(reference)
    assert distance(wanted, base) > SEEN
    assert distance(image(engine, (adapter, 1.0)), wanted) <= ROUNDING


def test_what_is_packed_stays_so_and_all_else_is_whole(
    engine: DiffusersEngine, written: tuple[Path, Numbers], model: Path, tmp_path: Path
) -> None:
    def packed_bytes() -> list[bytes]:
        return [m.weight.as_tensor().numpy().tobytes() for m in linears(engine) if is_packed(m.weight)]

    before = packed_bytes()
    blocks = [numbers for numbers in written[1].values() if numbers.dim() == 2 and numbers.shape[1] % 32 == 0]
    assert len(before) == len(blocks) > 100
    assert sum(map(len, before)) < sum(numbers.numel() for numbers in blocks)
    others = [p for m in engine.parts.pipeline.unet.modules() for p in m.parameters(recurse=False)]
    assert {p.dtype for p in others if not is_packed(p)} == {torch.float32}
    for i, kind in enumerate(KINDS):
        (tmp_path / str(i)).mkdir()
        image(engine, (read(engine, EVERY[kind](load_reference(model), tmp_path / str(i))), 1.0), steps=1)
    assert packed_bytes() == before


def test_names_of_the_original_code_draw_what_diffusers_draws(one_thread: None, tmp_path: Path) -> None:
    """Its own reader of such files, and its own loader of adapters."""
    name = "Z-Image"
    folder = TINY[name].make(tmp_path / "model")
    transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer")
    path = tmp_path / "z.gguf"
    # Its reader leaves bfloat16 as bytes where a module is no Linear.
    gguf_files.write(path, gguf_files.z_image_names(transformer), "lumina2", whole=(GGMLQuantizationType.F32,))
    engine = of_file(path, folder)
    own = OwnPipeline(folder, engine.parts.family, Task.TEXT_TO_IMAGE)
    own.pipeline = ZImagePipeline.from_pretrained(
        folder,
        transformer=ZImageTransformer2DModel.from_single_file(
            str(path),
            config=str(folder),
            subfolder="transformer",
            dtype=torch.float32,
            quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        ),
    )
    changes = changes_of(name, ZImagePipeline.from_pretrained(folder))
    adapter = read(engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    base = image(engine, scheduler=None)
    assert distance(base, own.image()) <= COARSE
    own.load(tmp_path / "a.safetensors", changes)
    mine = image(engine, (adapter, 1.0), scheduler=None)
    assert distance(mine, own.image()) <= COARSE
    assert distance(mine, base) > SEEN

    some = {n: w for n, w in gguf_files.z_image_names(transformer).items() if "layers.0.attention.out" not in n}
    gguf_files.write(tmp_path / "some.gguf", some, "lumina2")
    with pytest.raises(ModelError, match=r"some\.gguf lacks weights of the transformer"):
        of_file(tmp_path / "some.gguf", folder)


def test_its_revision_and_size_are_of_the_packed_weights(
    engine: DiffusersEngine, written: tuple[Path, Numbers], config: Path, tmp_path: Path
) -> None:
    data = bytearray(written[0].read_bytes())
    data[-100] ^= 1
    (tmp_path / "other.gguf").write_bytes(data)
    assert of_file(tmp_path / "other.gguf", config).info.revision != engine.info.revision
    beside = sum(f.stat().st_size for f in config.rglob("*.safetensors"))
    assert engine.info.size_bytes == written[0].stat().st_size + beside > beside > 0


def test_other_components_are_quantized_beside_it(written: tuple[Path, Numbers], config: Path) -> None:
    int8 = QuantizationMethod.INT8
    with pytest.raises(ModelError, match=r"unet comes quantized: model\.quantization\.skip must name it"):
        of_file(written[0], config, quantization=Quantization(method=int8))
    engine = of_file(written[0], config, quantization=Quantization(method=int8, skip=("unet",)))
    text = engine.parts.pipeline.text_encoder.modules()
    assert all(is_packed(module.weight) for module in text if isinstance(module, nn.Linear))


def test_what_it_does_not_go_with_is_said(written: tuple[Path, Numbers], config: Path) -> None:
    with pytest.raises(ModelError, match=r"serving\.mode Merged needs whole weights"):
        of_file(written[0], config, ApplyMode.MERGED)
    with pytest.raises(ModelError, match="in a GGUF file, which cannot be offloaded"):
        of_file(written[0], config, offload=Offload.GROUP)


def test_a_file_that_is_not_of_this_denoiser_is_refused(
    written: tuple[Path, Numbers], config: Path, tmp_path: Path
) -> None:
    data = written[0].read_bytes()
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="ends beyond the file"):
        of_file(wrong, config)
    wrong.write_bytes(b"PK" + data[2:])
    with pytest.raises(ModelError, match="no GGUF file that can be read: it does not begin as"):
        of_file(wrong, config)
    gguf_files.write(wrong, {n: w[:1] for n, w in written[1].items()}, "sdxl")
    with pytest.raises(ModelError, match="cannot be loaded"):
        of_file(wrong, config)


def test_an_image_without_the_library_says_so(
    written: tuple[Path, Numbers], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers.quantizers.gguf.utils", None)
    with pytest.raises(ModelError, match=r"needs gguf, which this image does not have.*lorapool\[quantized\]"):
        of_file(written[0], config)
