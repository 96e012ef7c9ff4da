import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
import scipy.signal

from aezoo.evaluation import bd_rate, bits_per_pixel, ms_ssim, psnr


def test_bits_per_pixel_counts_pixels_not_channels():
    data = bytes(70)
    for shape in ((10, 7, 8), (10, 7, 8, 1), (10, 7, 8, 3), (10, 56)):
        assert bits_per_pixel(data, np.zeros(shape)) == 1.0


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5, 6), (0, 8, 8)])
def test_bits_per_pixel_of_no_images(shape):
    with pytest.raises(ValueError, match="expected images"):
        bits_per_pixel(b"", np.zeros(shape))


def test_psnr_averages_the_error_over_all_images():
    x = np.zeros((2, 4, 4, 1))
    y = np.stack([np.full((4, 4, 1), 0.1), np.full((4, 4, 1), 0.3)])
    assert psnr(x, y) == pytest.approx(-10 * np.log10(0.05))
    assert psnr(255 * x, 255 * y, peak=255) == pytest.approx(psnr(x, y))
    assert psnr(x, x) == np.inf


def test_psnr_of_bytes_does_not_overflow():
    x, y = np.zeros((1, 2, 2), "uint8"), np.full((1, 2, 2), 200, "uint8")
    assert psnr(x, y, peak=255) == pytest.approx(20 * np.log10(255 / 200))
    assert psnr(y, x, peak=255) == pytest.approx(20 * np.log10(255 / 200))


@pytest.mark.parametrize(
    ("x", "y", "peak", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), 1, "images of the same shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), 1, "images of the same shape"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 0, "peak=0"),
    ],
)
def test_psnr_of_what_cannot_be_compared(x, y, peak, message):
    with pytest.raises(ValueError, match=message):
        psnr(x, y, peak)


def test_ms_ssim_is_the_product_of_contrast_and_structure_over_scales():
    """Against NumPy: windows of 11 x 11 with σ = 1.5, scales halved by means of 2 x 2, as in Wang et al. 2003."""
    rng = np.random.default_rng(0)
    x = scipy.ndimage.gaussian_filter(rng.random((192, 176)), 3)
    x = (x - x.min()) / np.ptp(x)
    y = np.clip(x + rng.normal(0, 0.05, x.shape), 0, 1)
    ramp = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(ramp, ramp) / ramp.sum() ** 2

    def mean(image):
        return scipy.signal.convolve2d(image, window, mode="valid")

    value, a, b = 1.0, x, y
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        m, n = mean(a), mean(b)
        structure = (2 * (mean(a * b) - m * n) + 0.03**2) / (mean(a * a) - m**2 + mean(b * b) - n**2 + 0.03**2)
        luminance = (2 * m * n + 0.01**2) / (m**2 + n**2 + 0.01**2)
        value *= (structure if scale < 4 else structure * luminance).mean() ** weight
        if scale < 4:
            a, b = (each.reshape(len(each) // 2, 2, -1, 2).mean(axis=(1, 3)) for each in (a, b))
    found = ms_ssim(np.stack([x, x])[..., None], np.stack([y, x])[..., None])
    np.testing.assert_allclose(found, [value, 1], atol=2e-4)
    assert value < 0.99
    np.testing.assert_allclose(ms_ssim(255 * x[None, ..., None], 255 * y[None, ..., None], peak=255), value, atol=2e-4)
    with pytest.raises(ValueError, match="at least 176 pixels"):
        ms_ssim(np.zeros((1, 175, 200, 1)), np.zeros((1, 175, 200, 1)))
    with pytest.raises(ValueError, match="at least one"):
        ms_ssim(np.zeros((0, 200, 200, 1)), np.zeros((0, 200, 200, 1)))
    with pytest.raises(ValueError, match="peak=0"):
        ms_ssim(np.zeros((1, 200, 200, 1)), np.zeros((1, 200, 200, 1)), peak=0)


RATES = np.array([0.2, 0.35, 0.7, 1.3, 2.0])


@pytest.mark.parametrize("method", ["cubic", "pchip"])
def test_bd_rate_of_curves_with_known_integrals(method):
    quality = 30 + 6 * np.log2(RATES)
    reference = list(zip(RATES, quality, strict=True))
    assert bd_rate(reference, [(1.25 * rate, q) for rate, q in reference[::-1]], method) == pytest.approx(25)
    assert bd_rate(reference, reference, method) == pytest.approx(0)
    # 3 dB better is a factor of √½ in the rate, whatever the qualities of the points.
    other = [(rate, q + 3) for rate, q in zip(RATES * 1.1, 30 + 6 * np.log2(RATES * 1.1), strict=True)]
    assert bd_rate(reference, other, method) == pytest.approx(100 * (2**-0.5 - 1))


def test_bd_rate_integrates_cubics_exactly():
    """log rate = q³ / 1000 against q / 10, over the common qualities 1 to 4."""
    a, b = np.array([0.0, 1, 2, 3, 4]), np.array([1.0, 2, 3, 4, 5])
    reference = list(zip(np.exp(a / 10), a, strict=True))
    points = list(zip(np.exp(b**3 / 1000), b, strict=True))
    expected = ((4**4 - 1) / 4000 - (4**2 - 1) / 20) / 3
    assert bd_rate(reference, points) == pytest.approx(100 * (np.exp(expected) - 1))


def test_bd_rate_of_kinked_curves_is_that_of_the_interpolation():
    reference = [(1.0, 30.0), (2.0, 31.0), (4.0, 35.0), (8.0, 40.0), (9.0, 46.0)]
    points = [(0.9, 29.0), (1.5, 32.0), (4.0, 34.0), (9.0, 44.0)]
    grid = np.linspace(30, 44, 200_001)
    logs = [
        scipy.interpolate.pchip_interpolate([q for _, q in curve], np.log([r for r, _ in curve]), grid)
        for curve in (reference, points)
    ]
    assert bd_rate(reference, points, "pchip") == pytest.approx(100 * np.expm1((logs[1] - logs[0]).mean()), abs=1e-3)
    assert abs(bd_rate(reference, points) - bd_rate(reference, points, "pchip")) > 0.5


@pytest.mark.parametrize(
    "points",
    [
        [(1, 30), (2, 31), (3, 32)],
        [(1, 30), (2, 30), (3, 32), (4, 33)],
        [(0, 30), (2, 31), (3, 32), (4, 33)],
        [(np.inf, 30), (2, 31), (3, 32), (4, 33)],
    ],
)
def test_bd_rate_of_too_few_points(points):
    good = [(1, 30), (2, 31), (3, 32), (4, 33)]
    for pair in ((points, good), (good, points)):
        with pytest.raises(ValueError, match="at least 4 points"):
            bd_rate(*pair)
    with pytest.raises(ValueError, match="no quality in common"):
        bd_rate(good, [(rate, quality + 10) for rate, quality in good])
