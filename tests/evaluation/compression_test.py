import numpy as np
import pytest

from aezoo.evaluation import bits_per_pixel, psnr


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
