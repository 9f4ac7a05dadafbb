import os
import pathlib

import jax
import pytest
from launch import QUICK, train

from unsupjax.parallel import hardware


class Device:
    def __init__(self, kind, platform="gpu"):
        self.device_kind, self.platform = kind, platform


@pytest.mark.parametrize(
    "kind, bfloat16, float32",
    [
        ("TPU v4", 275e12, 275e12),
        ("TPU v5 lite", 197e12, 197e12),
        ("TPU v5p", 459e12, 459e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 156e12),
        ("NVIDIA H100 80GB HBM3", 989e12, 495e12),
        ("NVIDIA H100 PCIe", 756e12, 378e12),
    ],
)
def test_published_peaks(kind, bfloat16, float32):
    assert hardware.peak_flops(Device(kind), "bfloat16") == bfloat16
    assert hardware.peak_flops(Device(kind), "float32") == float32


def test_an_unknown_device_has_no_peak_but_a_guess():
    assert hardware.peak_flops(Device("Abacus 3000"), "float32") is None
    assert hardware.nominal_flops(Device("Abacus 3000")) > 0


@pytest.mark.parametrize(
    "asked, batch, said, expected",
    [(0, 64, -1, 4), (0, 30, -1, 3), (0, 7, -1, None), (2, 64, -1, 2), (1, 64, -1, None), (0, 64, 8, None)],
)
def test_a_cpu_is_divided_as_the_batch_allows(asked, batch, said, expected, monkeypatch):
    class Config:
        jax_num_cpu_devices = said

        def update(self, name, value):
            assert name == "jax_num_cpu_devices"
            self.jax_num_cpu_devices = value
            raise RuntimeError("too late")  # is no fault

    config = Config()
    monkeypatch.setattr(hardware.jax, "config", config)
    monkeypatch.setattr(hardware, "cores", lambda: 4)
    hardware.divide_cpu(asked, batch)
    assert config.jax_num_cpu_devices == (expected or said)
    config.jax_num_cpu_devices = -1
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    hardware.divide_cpu(asked, batch)
    assert config.jax_num_cpu_devices == -1


def test_the_peak_of_a_cpu_is_measured():
    whole = hardware.peak_flops(jax.devices()[0], "float32") * jax.local_device_count()
    assert 1e9 < whole < 1e14


def test_memory_in_use_grows_with_what_is_held():
    before = hardware.memory()["host_memory_gib"]
    held = bytearray(os.urandom(1)) * 2**28
    assert hardware.memory()["host_memory_gib"] - before > 0.2 and len(held) == 2**28


@pytest.mark.thorough
def test_compiled_programs_are_kept_in_the_users_cache(tmp_path):
    fonts = pathlib.Path("~/.config/matplotlib").expanduser()  # or it would build its own cache, and say so
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "MPLCONFIGDIR": str(fonts)}
    kept = []
    for workdir in ("first", "second"):
        result = train(*QUICK, f"--workdir={workdir}", cwd=tmp_path, JAX_COMPILATION_CACHE_DIR=None, **home)
        assert result.returncode == 0 and result.stderr == ""
        folder = tmp_path / "cache" / "unsupjax" / "compiled"
        kept.append(sorted(path.name for path in folder.glob("*-cache")))
    assert any(name.startswith("jit_block_of_steps") for name in kept[0])
    assert kept[0] == kept[1], "the second start compiled again"


def test_a_home_that_cannot_be_written_is_no_matter(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = jax.config.jax_compilation_cache_dir
    hardware.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == before
