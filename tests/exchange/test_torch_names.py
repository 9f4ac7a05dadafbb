"""torchvision's and timm's names, shapes and layouts; and, where they are installed, their outputs."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.kinds import Images
from unsupjax.errors import UserError
from unsupjax.exchange import formats, weights
from unsupjax.exchange.encoder import Encoder, flat, module, nested
from unsupjax.exchange.torch_names import from_torch, to_torch

HERE = pathlib.Path(__file__).parent
RESNET18 = {"name": "resnet18", "stem": "imagenet"}
VIT = {"name": "vit", "width": 24, "depth": 2, "heads": 3, "patch_size": 4}


def listed(name):
    """Names and shapes as `state_dict()` of those libraries gave them."""
    lines = (line.rstrip("\n").partition(" ") for line in (HERE / f"{name}.txt").open())
    return {name: tuple(map(int, filter(None, shape.split(",")))) for name, _, shape in lines}


def drawn(section, shape, seed=0):
    """An encoder of random weights, running statistics too, none of which is at its start."""
    network, rng = module(section), np.random.default_rng(seed)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), x)

    def draw(name, like):
        value = rng.normal(size=like.shape) / max(np.prod(like.shape[:-1]), 1) ** 0.5
        shifted = 1.0 if name.endswith(("scale", "var")) else 0.0
        return (shifted + value * (0.2 if len(like.shape) == 1 else 1.5)).astype(np.float32)

    arrays = {name: np.abs(draw(name, like)) if name.endswith("var") else draw(name, like)
              for name, like in flat(shapes).items()}  # fmt: skip
    width = jax.eval_shape(lambda v, x: network.apply(v, x, train=False), shapes, x).shape[1]
    return Encoder(section, arrays, Images(shape), width)


@pytest.mark.parametrize(
    ("section", "shape", "name"),
    [
        (RESNET18, (32, 32, 3), "torchvision_resnet18"),
        ({"name": "resnet50", "stem": "imagenet"}, (32, 32, 3), "torchvision_resnet50"),
        (VIT, (8, 12, 3), "timm_vit"),
        (VIT | {"positions": "learned", "freeze_patches": True}, (8, 12, 3), "timm_vit"),
    ],
    ids=["resnet18", "resnet50", "sincos", "learned"],
)
def test_names_and_shapes_are_those_of_the_library_and_come_back(section, shape, name):
    encoder, network = drawn(section, shape), module(section)
    made = to_torch(network, encoder.arrays, (2, 3))
    assert {k: v.shape for k, v in made.items()} == listed(name)
    floats = {k: v for k, v in made.items() if not k.endswith("_tracked")}
    shapes = {k: v.shape for k, v in encoder.arrays.items()}
    back = from_torch(network, floats, shapes, (2, 3))
    assert back.keys() == encoder.arrays.keys()
    for key, value in encoder.arrays.items():
        np.testing.assert_array_equal(back[key], value)


def test_kernels_are_turned():
    encoder = drawn(RESNET18, (32, 32, 3))
    made = to_torch(module(RESNET18), encoder.arrays, (1, 1))
    ours = encoder.arrays["params/stage1_block0/Conv_2/kernel"]
    assert made["layer2.0.downsample.0.weight"][5, 3, 0, 0] == ours[0, 0, 3, 5]
    ours = encoder.arrays["params/stage0_block1/Conv_1/kernel"]
    assert made["layer1.1.conv2.weight"][7, 2, 0, 1] == ours[0, 1, 2, 7]
    assert (
        made["layer4.0.bn2.running_var"] == encoder.arrays["batch_stats/stage3_block0/BatchNorm_1/var"]
    ).all()
    encoder = drawn(VIT, (8, 12, 3))
    made = to_torch(module(VIT), encoder.arrays, (2, 3))
    patches = encoder.arrays["params/patches/kernel"]  # rows, columns and channels of a patch, flattened
    assert made["patch_embed.proj.weight"][9, 2, 1, 3] == patches[(1 * 4 + 3) * 3 + 2, 9]
    ours = encoder.arrays["params/block1/LayerNorm_0/scale"]
    assert (made["blocks.1.norm1.weight"] == ours).all() and (made["blocks.1.norm2.weight"] != ours).any()
    assert made["blocks.1.mlp.fc1.weight"][50, 4] == encoder.arrays["params/block1/hidden/kernel"][4, 50]


OUTPUTS = [
    pytest.param("torchvision", {"name": "resnet18"}, (16, 16, 1), id="resnet18"),
    pytest.param("torchvision", RESNET18, (32, 32, 3), id="imagenet"),
    pytest.param("torchvision", RESNET18, (33, 33, 1), id="gray", marks=pytest.mark.thorough),
    pytest.param("torchvision", {"name": "resnet50"}, (16, 16, 3), id="resnet50", marks=pytest.mark.thorough),
    pytest.param(
        "timm",
        {"name": "resnet", "stage_sizes": [1, 2, 1, 1], "block": "bottleneck"},
        (8, 8, 3),
        id="timm_resnet",
        marks=pytest.mark.thorough,
    ),
    pytest.param(
        "timm", {"name": "resnet18"}, (16, 16, 3), id="timm_resnet18", marks=pytest.mark.thorough
    ),
    pytest.param("timm", VIT, (8, 12, 3), id="vit"),
    pytest.param("timm", VIT | {"pool": "mean", "mlp_ratio": 2.4, "mlp": "gelu"}, (8, 12, 1), id="vit_mean"),
    pytest.param("timm", VIT | {"positions": "learned", "freeze_patches": True}, (8, 12, 3), id="vit_learned"),
    pytest.param(
        "timm", VIT | {"positions": "learned", "pool": "mean"}, (8, 8, 3), id="vit_both", marks=pytest.mark.thorough
    ),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of those libraries
@pytest.mark.parametrize(("form", "section", "shape"), OUTPUTS)
def test_what_the_card_says_gives_the_same_output(form, section, shape, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip(form)
    pytest.importorskip("safetensors")
    encoder = drawn(section, shape)
    x = np.random.default_rng(1).uniform(size=(3, *shape)).astype(np.float32)
    usage = formats.FORMS[form].write(encoder, tmp_path / "model.safetensors", str(tmp_path))
    here = {"x": torch.tensor(x.transpose(0, 3, 1, 2).copy())}
    with torch.no_grad():
        exec(usage, here)
    network, variables = weights.load(tmp_path)
    ours = network.apply(variables, x, train=False)
    assert ours.shape == (3, encoder.width)
    assert np.abs(np.diff(ours, axis=0)).max() > 0.01  # the examples differ, and so would a wrong network's
    np.testing.assert_allclose(here["codes"], ours, atol=1e-5 * max(np.abs(ours).max(), 1), rtol=0)
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, nested(encoder.arrays)))


def test_a_position_of_the_class_token_is_added_to_it():
    section = VIT | {"positions": "learned"}
    encoder, network = drawn(section, (8, 12, 3)), module(section)
    made = to_torch(network, encoder.arrays, (2, 3))
    first = np.full((1, 1, 24), 0.25, np.float32)
    theirs = made | {
        "cls_token": made["cls_token"] - first,
        "pos_embed": np.concatenate([first, made["pos_embed"]], 1),
    }
    shapes = {k: v.shape for k, v in encoder.arrays.items()}
    back = from_torch(network, theirs, shapes, (2, 3))
    np.testing.assert_allclose(back["params/token"], encoder.arrays["params/token"], atol=1e-6)
    np.testing.assert_array_equal(back["params/positions"], encoder.arrays["params/positions"])
    sines = module(VIT)
    with pytest.raises(UserError, match=r"set config\.encoder\.positions='learned'"):
        from_torch(sines, theirs, {k: v for k, v in shapes.items() if "positions" not in k}, (2, 3))


@pytest.mark.parametrize(
    ("form", "section", "message"),
    [
        ("torchvision", VIT, "torchvision has no network such as 'vit'"),
        (
            "torchvision",
            {"name": "resnet18", "width": 8},
            "width of 64, and this one has 4 and 8: take --format=safe",
        ),
        ("timm", {"name": "resnet", "stage_sizes": [1, 1]}, "four stages .* has 2 and 64"),
        ("timm", {"name": "mlp", "features": [4]}, "timm has no network such as 'mlp'"),
    ],
)
def test_what_the_library_has_not_is_refused(form, section, message, tmp_path):
    encoder = Encoder(section, {}, Images((8, 8, 3)), 4)
    with pytest.raises(UserError, match=message):
        formats.FORMS[form].write(encoder, tmp_path / "model.safetensors", "out")
