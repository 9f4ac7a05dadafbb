import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.models.inception import POOLS, InceptionV3, inception_variables, resized

# Features 47, 297, ..., 2047 of `images` with `weights`, by torchvision's network with pytorch-fid's changes.
GOLDEN = np.array(
    [
        [4.43682, 0.06208, 0.02727, 23.0689, 1.12592, 0.82178, 0, 5.09971, 1.56693],
        [4.31647, 0.02053, 0, 22.33838, 0.96265, 0.81961, 0, 5.01908, 1.64944],
    ]
)


def shapes_of(path, leaf):
    """Names and shapes in PyTorch of the convolution at a path and of its batch norm."""
    name = ".".join(part.key for part in path[:-2])
    height, width, inputs, features = leaf.shape
    norm = {f"{name}.bn.{entry}": (features,) for entry in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.conv.weight": (features, inputs, height, width)} | norm


def random_entry(rng, name, shape):
    """Random in all entries; activations neither vanish nor grow."""
    if len(shape) == 4:
        return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith(("bn.weight", "running_var")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.normal(0, 0.2, shape).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(size=(2, 40, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def weights(images):
    """A random state dict of PyTorch, of the names and shapes that the network asks for."""
    rng, shapes = np.random.default_rng(0), {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    params = jax.eval_shape(InceptionV3().init, jax.random.key(0), images)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key == "kernel":
            shapes |= shapes_of(path, leaf)
    return {name: random_entry(rng, name, shapes[name]) for name in sorted(shapes)}


@pytest.fixture(scope="module")
def features(weights, images):
    return np.asarray(jax.jit(InceptionV3().apply)(inception_variables(weights), images))


@pytest.mark.thorough
def test_features_are_those_once_computed(features):
    assert features.shape == (2, 2048) and features.dtype == np.float32
    np.testing.assert_allclose(features[:, 47::250], GOLDEN, rtol=1e-4, atol=1e-3)


def torch_features(network, x):
    """The input of the classifier, for images in [0, 1]."""
    import torch

    planes = torch.tensor(x).permute(0, 3, 1, 2)
    planes = torch.nn.functional.interpolate(planes, size=(299, 299), mode="bilinear", align_corners=False)
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        return network(2 * planes - 1).numpy()


def repool(block, pool):
    """Makes the pooled branch, the last of a block, start from another pool."""
    forward = block._forward
    block._forward = lambda x: [*forward(x)[:-1], block.branch_pool(pool(x))]


@pytest.mark.thorough
def test_features_are_those_of_torch(weights, images, features):
    """As pytorch-fid changes torchvision's network; each of its two changes shows in the features."""
    torch, torchvision = pytest.importorskip("torch"), pytest.importorskip("torchvision")
    functional = torch.nn.functional
    network = torchvision.models.inception.Inception3(1008, aux_logits=False, init_weights=False).eval()
    unused = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()} | unused)

    def distance(expected):
        return np.abs(features - expected).max() / np.abs(expected).max()

    assert distance(torch_features(network, images)) > 1e-2
    for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c"):
        pool = lambda x: functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        repool(getattr(network, f"Mixed_{name}"), pool)
    assert distance(torch_features(network, images)) > 1e-2
    repool(network.Mixed_7c, lambda x: functional.max_pool2d(x, 3, stride=1, padding=1))
    expected = torch_features(network, images)
    assert distance(expected) < 1e-4
    np.testing.assert_allclose(GOLDEN, expected[:, 47::250], rtol=1e-4, atol=1e-4)


def bilinear(x, rows, columns):
    """Pixel centres at halves; where a neighbour is outside, the edge stands for it. No filter."""

    def neighbours(outputs, inputs):
        place = np.clip((np.arange(outputs) + 0.5) * inputs / outputs - 0.5, 0, inputs - 1)
        low = np.floor(place).astype(int)
        return low, np.minimum(low + 1, inputs - 1), place - low

    top, bottom, down = neighbours(rows, x.shape[1])
    left, right, across = neighbours(columns, x.shape[2])
    down, across = down[:, None, None], across[:, None]
    y = x[:, top] * (1 - down) + x[:, bottom] * down
    return y[:, :, left] * (1 - across) + y[:, :, right] * across


@pytest.mark.parametrize("size", [(8, 8), (28, 32), (299, 299), (300, 450), (640, 512)])
def test_resizing_is_bilinear_without_a_filter(size):
    x = np.random.default_rng(0).uniform(size=(1, *size, 2)).astype(np.float32)
    np.testing.assert_allclose(resized(jnp.asarray(x)), bilinear(x.astype(float), 299, 299), atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (28, 32), (299, 299), (300, 450), (640, 512)])
def test_resizing_is_torchs(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(size=(1, *size, 3)).astype(np.float32)
    planes = torch.tensor(x).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(planes, size=(299, 299), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resized(jnp.asarray(x)), expected.permute(0, 2, 3, 1), atol=1e-5)


def test_pools_do_not_see_their_padding():
    x = -np.arange(1.0, 26, dtype=np.float32).reshape(1, 5, 5, 1)
    average, maximum, halved = (
        np.asarray(POOLS[name](x))[0, ..., 0] for name in ("average", "maximum", "halve")
    )
    assert average[0, 0] == -np.mean([1, 2, 6, 7]) and average[2, 2] == -13
    assert maximum[4, 4] == -19 and maximum[0, 0] == -1
    np.testing.assert_array_equal(halved, [[-1, -3], [-11, -13]])


def test_names_and_sizes_are_pytorchs(weights):
    """Entries from each kind of block; 94 convolutions; the parameters of the published network less its classifier."""
    expected = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_mean": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5c.branch_pool.conv.weight": (64, 256, 1, 1),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch3x3dbl_3a.bn.running_var": (384,),
        "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
    }
    assert {name: weights[name].shape for name in expected} == expected
    assert sum(name.endswith("conv.weight") for name in weights) == 94
    parameters = {k: v for k, v in weights.items() if "running" not in k and not k.startswith("fc")}
    assert sum(v.size for v in parameters.values()) == 23_834_568 - 1000 * 2049


def test_variables_are_float32_whatever_the_file_holds(weights):
    halves = {name: value.astype(np.float16) for name, value in weights.items()}
    variables = inception_variables(halves | {"more": np.zeros(1)})
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    kernel = variables["params"]["Mixed_6b"]["branch7x7_2"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 5, 3, 2], halves["Mixed_6b.branch7x7_2.conv.weight"][2, 3, 0, 5])


@pytest.mark.parametrize("name", ["Mixed_6b.branch7x7_2.conv.weight", "Mixed_7c.branch1x1.bn.running_var"])
def test_a_missing_entry_or_another_shape_is_refused_by_name(weights, name):
    with pytest.raises(ValueError, match=f"lack '{name}'"):
        inception_variables({k: v for k, v in weights.items() if k != name})
    with pytest.raises(ValueError, match=rf"'{name}' .*shape \(7,\).*{weights[name].shape[0]}"):
        inception_variables(weights | {name: np.zeros(7)})


def test_weights_of_the_thousand_classes_are_refused(weights):
    """They have all the names and shapes of the features, and give a distance of another meaning."""
    with pytest.raises(ValueError, match=r"'fc.weight' .*\(1000, 2048\).*\(1008, 2048\)"):
        inception_variables(weights | {"fc.weight": np.zeros((1000, 2048), np.float32)})


def test_vectors_are_refused(images):
    with pytest.raises(ValueError, match="needs images"):
        jax.eval_shape(InceptionV3().init, jax.random.key(0), images[0, 0])
