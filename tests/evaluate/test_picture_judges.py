"""The judges of compression and denoising against libraries and by hand."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from unsupjax.data.kinds import Images
from unsupjax.data.sources.photographs import photographs
from unsupjax.data.tiles import whole
from unsupjax.errors import UserError
from unsupjax.evaluate import Subject, compressed, denoised, denoising, rate_curves, rate_distortion
from unsupjax.evaluate.fidelity.picture_scores import ms_ssim, psnr, ssim
from unsupjax.evaluate.fidelity.rate_distortion import PEERS, bd_rate
from unsupjax.methods.base import Method, Restorer

RNG = np.random.default_rng(0)


def judged(results=None, **functions):
    nothing = np.zeros((2, 16, 16, 1), np.float32)
    method = Method(None, None, None, **functions)
    kind = Images((16, 16, 1))
    codes = np.zeros((2, 1))
    return Subject(
        method,
        1.0,
        jax.random.key(0),
        nothing,
        None,
        nothing,
        None,
        codes,
        codes,
        None,
        kind=kind,
        results=results,
    )


@pytest.fixture
def folder(tmp_path):
    for i, x in enumerate(whole("photographs", 1).values()):
        Image.fromarray(x[:180, :180, 0]).save(tmp_path / f"{i}.png")
    return str(tmp_path)


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    x = whole("photographs", 3)["china"][:60, :50]
    y = np.clip(x + RNG.normal(0, 20, x.shape), 0, 255)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = metrics.structural_similarity(x.astype(float), y, channel_axis=-1, **options)
    np.testing.assert_allclose(ssim(x, y), expected, atol=1e-6)
    np.testing.assert_allclose(
        psnr(x, y), metrics.peak_signal_noise_ratio(x.astype(float), y, data_range=255)
    )


def test_ms_ssim_of_one_scale_and_its_limits():
    x = RNG.integers(0, 256, (40, 30, 1))
    assert ms_ssim(x, x) == pytest.approx(1)
    y = np.clip(x + RNG.normal(0, 30, x.shape), 0, 255)
    np.testing.assert_allclose(ms_ssim(x[:20], y[:20]), ssim(x[:20], y[:20]))  # there is room for one scale
    assert 0 < ms_ssim(x, y) < 1
    with pytest.raises(ValueError, match="no room"):
        ms_ssim(x[:9], y[:9])


def test_noise_and_a_restorer_that_does_nothing(folder):
    subject = judged(restore=Restorer(lambda state, x: x * state, 4, 4))
    found = denoising(subject, pictures=folder, sigmas=(25.0,), baselines=("wavelet", "nlm"))
    expected = []
    for i, x in enumerate(whole(folder, 1).values()):
        y = x[..., 0] + np.random.default_rng([25, i]).normal(0, 25, (180, 180))
        expected.append(10 * np.log10(255**2 / np.square(np.rint(np.clip(y, 0, 255)) - x[..., 0]).mean()))
    np.testing.assert_allclose(found["psnr_sigma25_noisy"], np.mean(expected))
    np.testing.assert_allclose(found["psnr_sigma25"], found["psnr_sigma25_noisy"], atol=1e-3)
    assert found["psnr_sigma25_wavelet"] > 26 and found["ssim_sigma25_wavelet"] > found["ssim_sigma25_noisy"]
    assert found["psnr_sigma25_nlm"] > 26
    assert {"denoising_seconds", "denoising_seconds_wavelet"} <= found.keys()


def test_a_package_that_is_missing_is_said(folder, monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = denoising(judged(restore=Restorer(lambda state, x: x, 4, 4)), pictures=folder, sigmas=(15.0,))
    assert set(found) == {f"{k}_sigma15{n}" for k in ("psnr", "ssim") for n in ("", "_noisy")} | {
        "denoising_seconds"
    }
    assert "bm3d is not installed" in caplog.text


def test_bd_rate_of_curves_whose_distance_is_known():
    rate, quality = np.array([0.2, 0.4, 0.8, 1.6]), np.array([28.0, 31, 34, 37])
    np.testing.assert_allclose(bd_rate(0.7 * rate, quality, rate, quality), -30)
    np.testing.assert_allclose(bd_rate(0.7 * rate[::-1], quality[::-1], rate, quality, (30, 36)), -30)
    # 3 dB for twice the rate: a gain of 1 dB is worth 2^(-1/3)
    np.testing.assert_allclose(
        bd_rate(rate, quality + 1, rate, quality), 100 * (2 ** (-1 / 3) - 1), atol=0.01
    )
    with pytest.raises(ValueError, match=r"28\.00 to 37\.00"):
        bd_rate(rate, quality, rate, quality, (27, 36))


def test_points_are_of_all_bytes_and_of_what_comes_back(folder, tmp_path):
    pictures = list(whole(folder, 1).values())
    kept = {}

    class Fake:
        def compress(self, x, quality):
            step = 2 ** (6 - quality // 10)
            kept["x"] = np.clip(x // step * step + step // 2, 0, 255).astype(np.uint8)
            return bytes(1000 + 500 * quality)

        def decompress(self, content):
            return kept["x"]

    subject = judged(codec=lambda state: Fake())
    found = rate_distortion(subject, pictures=folder, qualities=(0, 10, 20, 30), peers=("jpeg",))
    np.testing.assert_allclose(found["bpp_q10"], 8 * 6000 / 180**2)
    expected = np.mean([psnr(np.clip(x // 16 * 16 + 8, 0, 255), x) for x in pictures])
    np.testing.assert_allclose(found["psnr_q20"], expected)
    assert found["bpp_jpeg_q20"] < found["bpp_jpeg_q75"] and found["psnr_jpeg_q75"] > 30
    assert {"bd_rate_psnr_jpeg", "bd_rate_msssim_jpeg"} <= found.keys()
    with pytest.raises(UserError, match="psnr_interval"):
        rate_distortion(
            subject, pictures=folder, qualities=(0, 10, 20, 30), peers=("jpeg",), psnr_interval=(5.0, 60.0)
        )
    rate_curves(judged(results=found, codec=1), tmp_path / "curves.png")
    compressed(subject, tmp_path / "crops.png", pictures=folder, peers=("jpeg",), n=1, side=64)
    denoised(
        judged(restore=Restorer(lambda state, x: x, 4, 4)), tmp_path / "noise.png", pictures=folder, side=64
    )
    for name in ("curves", "crops", "noise"):
        assert min(Image.open(tmp_path / f"{name}.png").size) > 200


@pytest.mark.parametrize(
    ("judge", "arguments", "words"),
    [
        (denoising, {"baselines": ("bm4d",)}, "bm3d"),
        (denoising, {"sigmas": (0.0,)}, "above 0"),
        (rate_distortion, {"peers": ("gif",)}, "peers"),
        (rate_distortion, {"qualities": (1, 2, 3)}, "4 or more"),
        (rate_distortion, {"qualities": (1, 2, 3, 99)}, "4 or more"),
        (rate_distortion, {"psnr_interval": (30.0,)}, "two numbers"),
    ],
)
def test_bad_arguments_are_refused(judge, arguments, words):
    subject = judged(restore=Restorer(lambda state, x: x, 4, 4), codec=lambda state: None)
    with pytest.raises(UserError, match=words):
        judge(subject, **arguments)


def test_curves_need_their_evaluator(tmp_path):
    with pytest.raises(UserError, match="rate_distortion"):
        rate_curves(judged(results={}), tmp_path / "x.png")


def test_jpeg_2000_codes_colours_together():
    form, options, qualities = PEERS["jpeg2000"]
    x = photographs(3)[0, :256, :256]
    error = {}
    for together in (0, 1):
        file = io.BytesIO()
        Image.fromarray(x).save(file, form, **(options(qualities[3]) | ({} if together else {"mct": 0})))
        error[together] = np.square(np.asarray(Image.open(file), np.float64) - x).mean()
        assert file.tell() < 1.1 * x.size / qualities[3]
    assert error[1] < 0.9 * error[0]
