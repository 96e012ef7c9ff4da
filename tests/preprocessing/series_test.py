"""Time columns of series."""

import numpy as np
import pytest

from aezoo.preprocessing import SeriesPreprocessing
from aezoo.preprocessing.series import as_times


def days(text):
    return np.array([text.format(day) for day in range(1, 20)], object)


@pytest.mark.parametrize("text", ["{:02d}/03/2025", "{:02d}.03.2025", "03/{:02d}/2025", "2025-03-{:02d}"])
def test_the_order_of_day_and_month_is_read_from_all_rows(text):
    times = as_times("time", days(text)).astype("datetime64[D]")
    np.testing.assert_array_equal(times, np.arange("2025-03-01", "2025-03-20", dtype="datetime64[D]"))


@pytest.mark.parametrize("separator", "/.-")
def test_dates_that_can_be_read_in_two_ways_are_refused(separator):
    twelve = np.array([separator.join(("01", f"{i:02d}", "2024")) for i in range(1, 13)], object)
    with pytest.raises(ValueError, match=r"in row 1 \(counted from 0\), and no row tells whether the day"):
        as_times("time", twelve)
    np.testing.assert_array_equal(
        as_times("time", twelve[:1]).astype("datetime64[D]"), np.array(["2024-01-01"], "datetime64[D]")
    )


def test_codes_are_no_values_of_a_series(tmp_path):
    """Numbers that are named as values or times may start with zeros."""
    path = tmp_path / "t.csv"
    path.write_text("hour,zip,load\n" + "".join(f"{i:02d},{i % 3 + 1066:05d},{i % 5}\n" for i in range(24)))
    with pytest.raises(ValueError, match=r"t\.csv: Column 'zip' has '01066', which starts with a zero, as codes do"):
        SeriesPreprocessing(4, time="hour").fit(path)
    steps = SeriesPreprocessing(4, time="hour", columns=("zip", "load")).steps(path)
    np.testing.assert_array_equal(steps.times, np.arange(24))
    np.testing.assert_array_equal(steps.values[:3, 0], [1066, 1067, 1068])
