"""Bytes counted in compiled programs, against collectives whose bytes are known."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from unsupjax.parallel.mesh import AXIS, make_mesh

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import network
from hlo_bytes import bytes_of, collectives, group_size, parse, sent, totals

N = 8
WHOLE, SHARED = PartitionSpec(), PartitionSpec(AXIS)


def compiled(f, *arguments, ins=SHARED, out=WHOLE, check=False, n=N):
    """The text of `f` under `shard_map` over n devices."""
    mesh = make_mesh(jax.devices()[:n])
    shared = jax.shard_map(f, mesh=mesh, in_specs=ins, out_specs=out, check_vma=check)
    return jax.jit(shared).lower(*arguments).compile().as_text()


def floats(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


@pytest.mark.parametrize("n", [2, 8])
def test_psum(n):
    found = collectives(compiled(lambda x: jax.lax.psum(x, AXIS), floats(n * 3, 5), n=n))
    assert totals(found) == {("all-reduce", n): 3 * 5 * 4}
    assert sum(c.sent for c in found) == pytest.approx(2 * (n - 1) / n * 60)
    assert all(c.known for c in found)


def test_psum_of_several_arrays_is_their_sum():
    """Whether the compiler joins them or not."""
    f = lambda x, y: (jax.lax.psum(x, AXIS), jax.lax.psum(y, AXIS))
    arguments = floats(N * 3, 5), floats(N * 7, dtype=jnp.int8)
    assert sum(totals(collectives(compiled(f, *arguments))).values()) == 60 + 7


def test_all_gather_counts_its_result():
    f = lambda x: jax.lax.all_gather(x, AXIS, tiled=True)
    found = collectives(compiled(f, floats(N * 4, 6)))
    assert totals(found) == {("all-gather", N): N * 4 * 6 * 4}
    assert found[0].sent == (N - 1) * 4 * 6 * 4


def test_reduce_scatter_counts_its_operand():
    f = lambda x: jax.lax.psum_scatter(x, AXIS, tiled=True)
    found = collectives(compiled(f, floats(N * N, 6), out=SHARED))
    assert totals(found) == {("reduce-scatter", N): N * 6 * 4}
    assert found[0].sent == (N - 1) * 6 * 4


def test_all_to_all_and_permutation():
    f = lambda x: jax.lax.all_to_all(x, AXIS, 0, 1, tiled=True)
    found = collectives(compiled(f, floats(N * N, 6), out=SHARED))
    assert totals(found) == {("all-to-all", N): N * 6 * 4}
    around = [(i, (i + 1) % N) for i in range(N)]
    found = collectives(compiled(lambda x: jax.lax.ppermute(x, AXIS, around), floats(N * 3, 5), out=SHARED))
    assert [(c.kind, c.sent) for c in found] == [("collective-permute", 60)]


def test_groups_of_devices():
    pairs = [[i, i + 1] for i in range(0, N, 2)]
    text = compiled(lambda x: jax.lax.psum(x, AXIS, axis_index_groups=pairs), floats(N * 3), out=SHARED)
    assert totals(collectives(text)) == {("all-reduce", 2): 12}


def test_gradient_of_a_dense_layer_moves_its_parameters_and_the_loss():
    mesh = make_mesh()
    whole, shared = NamedSharding(mesh, WHOLE), NamedSharding(mesh, SHARED)

    def loss(params, x):
        return jnp.square(x @ params["kernel"] + params["bias"][None]).mean()

    step = jax.jit(jax.value_and_grad(loss), in_shardings=(whole, shared), out_shardings=whole)
    params = {"kernel": floats(20, 30), "bias": floats(30)}
    found = collectives(step.lower(params, floats(N * 4, 20)).compile().as_text())
    assert totals(found) == {("all-reduce", N): 4 * (20 * 30 + 30 + 1)}
    assert sum(c.sent for c in found) == pytest.approx(2 * 7 / 8 * 4 * (20 * 30 + 30 + 1))
    assert any(place.split(":")[0].endswith("test_network_bytes.py") for c in found for place in c.source)


def test_a_loop_counts_by_its_length():
    def f(x):
        body = lambda carry, _: (jnp.sin(jax.lax.psum(carry, AXIS)), None)
        return jax.lax.scan(body, x, length=13)[0]

    found = collectives(compiled(f, floats(N * 3)))
    assert totals(found) == {("all-reduce", N): 13 * 12} and all(c.known for c in found)


def test_a_loop_of_unknown_length_says_so():
    def f(x, n):
        return jax.lax.fori_loop(0, n[0], lambda _, x: jnp.sin(jax.lax.psum(x, AXIS)), x)

    text = compiled(f, floats(N * 3), floats(1, dtype=jnp.int32), ins=(SHARED, WHOLE))
    assert not any(c.known for c in collectives(text))
    assert totals(collectives(text)) == {("all-reduce", N): 12}


def test_one_branch_of_a_conditional_counts():
    def f(x, n):
        small, large = lambda x: jax.lax.psum(x[:1], AXIS)[0], lambda x: jax.lax.psum(x, AXIS).sum()
        return jax.lax.switch(n[0], (small, large, lambda x: jax.lax.psum(x[:2], AXIS)[1]), x)

    text = compiled(f, floats(N * 30), floats(1, dtype=jnp.int32), ins=(SHARED, WHOLE))
    assert totals(collectives(text, "least")) == {("all-reduce", N): 4}
    assert totals(collectives(text, "most")) == {("all-reduce", N): 120}
    with pytest.raises(ValueError, match="branch"):
        collectives(text, "mean")


def test_one_device_sends_nothing():
    assert sum(c.sent for c in collectives(compiled(lambda x: jax.lax.psum(x, AXIS), floats(3), n=1))) == 0


ASYNC = """HloModule m, num_partitions=4

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%wrapped (p: f32[2]) -> f32[8] {
  %p = f32[2]{0:T(128)} parameter(0)
  ROOT %ag = f32[8]{0} all-gather(%p), replica_groups=[1,4]<=[4], dimensions={0}
}

ENTRY %main (x: f32[8], y: bf16[2,3]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %y = bf16[2,3]{1,0:T(8,128)(2,1)} parameter(1)
  %ars = f32[8]{0} all-reduce-start(%x), channel_id=1, replica_groups={{0,1,2,3}}, to_apply=%add
  %ard = f32[8]{0} all-reduce-done(%ars)
  %ags = (bf16[2,3]{1,0}, bf16[8,3]{1,0}) all-gather-start(bf16[2,3]{1,0} %y), replica_groups=[2,2]<=[2,2]T(1,0)
  %agd = bf16[8,3]{1,0} all-gather-done(%ags)
  %cps = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1},{1,0}}
  %cpd = f32[8]{0} collective-permute-done(%cps)
  %s = ((f32[2]), f32[8], s32[]) async-start(%x), calls=%wrapped
  %d = f32[8]{0} async-done(%s), calls=%wrapped
  ROOT %r = f32[8]{0} add(%ard, /*index=1*/%cpd), metadata={source_file="a.py" source_line=3}
}
"""


def test_asynchronous_forms_count_once():
    found = {(c.kind, c.group): c.size for c in collectives(ASYNC)}
    assert len(collectives(ASYNC)) == 4
    assert found == {
        ("all-reduce", 4): 32,
        ("all-gather", 2): 24,
        ("all-gather", 4): 4 * 8,  # of the wrapped operation, whose operand has 2 floats
        ("collective-permute", 4): 32,
    }


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="ragged"):
        collectives(ASYNC.replace(" all-reduce-start(", " ragged-all-to-all("))
    with pytest.raises(ValueError, match="ENTRY"):
        parse("HloModule m")


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[]", 4),
        ("f32[3,4]{1,0:T(8,128)}", 48),
        ("(bf16[5]{0}, pred[3]{0})", 13),
        ("(f32[2], (s32[], c64[2]))", 28),
        ("s4[6]", 3),
        ("f8e4m3fn[7]", 7),
        ("u8[<=10]", 10),
        ("token[]", 0),
        ("()", 0),
    ],
)
def test_bytes_of_a_shape(shape, size):
    assert bytes_of(shape) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("replica_groups={{0,1,2},{3,4,5}}, x", 3),
        ("replica_groups=[2,4]<=[8]", 4),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", 2),
        ("replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", 4),
        ("replica_groups=mesh['a'=4,'b'=2] {'a','b'}", 8),
        ("replica_groups=mesh['a'=8] {'a':(2)4}", 4),
        ("replica_groups={}", 16),
        ("source_target_pairs={{0,1}}", 16),
    ],
)
def test_notations_of_groups(text, size):
    assert group_size(text, 16) == size


def test_ring_algorithm():
    assert sent("all-reduce", 100, 4) == 150
    assert sent("all-gather", 100, 4) == sent("reduce-scatter", 100, 4) == sent("all-to-all", 100, 4) == 75
    assert sent("collective-permute", 100, 4) == 100


def counted(**changed):
    """A method that all-reduces 1 MB and gathers 1 kB of each device."""
    sizes = {"all-reduce": (1e6, 0.0), "all-gather": (0.0, 1e3)}
    fields = {
        "name": "m",
        "flops": 1e12,
        "batch": 4,
        "trained": 0,
        "sizes": sizes,
        "messages": {"all-reduce": 3},
    }
    fields |= {"misfit": 0.0, "most": 0.0, "largest": [], "work": (1e12, 0.0)}
    return network.Counted(**fields | changed)


def test_fit_finds_the_line_and_what_departs_from_it():
    at = lambda n: {"all-reduce": 100, "all-gather": 10 * n}
    sizes, off = network.fit({n: at(n) for n in (4, 8, 16)})
    assert sizes == {"all-reduce": (100, 0), "all-gather": (0, 10)} and off == 0
    _, off = network.fit({4: at(4), 8: at(8), 16: {"all-reduce": 100, "all-gather": 100}})
    assert off == pytest.approx(60 / 200)


def test_what_a_device_sends_and_how_long_that_takes():
    m = counted()
    assert network.sends(m, 8) == pytest.approx(2 * 7 / 8 * 1e6 + 7 * 1e3)
    chip = network.Chip(peak=1e15, link=1e9, hop=1e-6, largest=4096)
    low, high = network.efficiency(m, 8, chip, 0.5)
    compute, moved, wait = 2e-3, (2 * 7 / 8 * 1e6 + 7e3) / 1e9, 3 * 2 * 3 * 1e-6
    assert low == pytest.approx(compute / (compute + moved + wait)) and high == 1
    hosts = network.CHIPS["H100"]
    assert network.transfer("all-reduce", 1e6, 8, hosts) == pytest.approx(1.75e6 / hosts.link)
    slow = 2 * 31 / 32 * 1e6 / 8 / hosts.between
    assert network.transfer("all-reduce", 1e6, 256, hosts) == pytest.approx(1.75e6 / hosts.link + slow)


def test_repeated_work_lowers_the_efficiency():
    chip = network.Chip(peak=1e15, link=1e15, hop=0.0, largest=4096)
    half = counted(work=(1e12, 1e12))
    assert network.growth(half, 8) == 4.5
    assert network.efficiency(half, 8, chip, 0.5)[0] == pytest.approx(1 / 4.5, rel=1e-3)
    assert network.growth(counted(work=(1e12, 1e8)), 4096) == 1  # noise
