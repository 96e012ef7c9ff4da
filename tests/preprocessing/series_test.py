"""Time columns of series."""

import warnings

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
    with pytest.raises(ValueError, match=r"in row 1 \(counted from 0\), and no row tells the order"):
        as_times("time", twelve)
    np.testing.assert_array_equal(
        as_times("time", twelve[:1]).astype("datetime64[D]"), np.array(["2024-01-01"], "datetime64[D]")
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["13/03/99", "01/04/99"], ["1999-03-13", "1999-04-01"]),
        (["03/13/25 12:00", "04/01/25 13:00"], ["2025-03-13 12:00", "2025-04-01 13:00"]),
        (["99-03-13", "00-04-01"], ["1999-03-13", "2000-04-01"]),
        (["3/13/2025 1:30 PM", "3/14/2025 12:05 AM"], ["2025-03-13 13:30", "2025-03-14 00:05"]),
        (["13.03.2025T12:00:00Z"], ["2025-03-13 12:00"]),
        (["13-Mar-2025"], ["2025-03-13"]),
        (["20250314"], ["2025-03-14"]),
    ],
)
def test_years_of_two_digits_are_read_if_the_order_is_known(texts, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        times = as_times("time", np.array(texts, object))
    np.testing.assert_array_equal(times.astype("datetime64[m]"), np.array(expected, "datetime64[m]"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("13/03/25", r"'13/03/25' in row 1 .* tells the order of day, month and year: write the year first, with four"),
        ("25-03-13", r"'25-03-13' in row 1 .* tells the order"),
        ("13-Mar-25", r"'13-Mar-25' in row 0 .*, which is not a time with a year of four digits, such as 2025-03-13"),
        ("12:00", r"'12:00' in row 0 .*, which is not a time with a year"),
        ("12:00:00.1234", r"'12:00:00.1234' in row 0 .*, which is not a time with a year"),
        ("0930", r"'0930' in row 0 .*, which is not a time with a year"),
        ("13-Mar-25 12:00 +0100", r"in row 0 .*, which is not a time with a year"),
    ],
)
def test_years_that_may_be_days_are_refused_without_a_warning(text, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        warnings.simplefilter("error")
        as_times("time", np.array(["01/01/01" if "order" in message else text, text], object))


def test_codes_are_no_values_of_a_series(tmp_path):
    """Numbers that are named as values or times may start with zeros."""
    path = tmp_path / "t.csv"
    path.write_text("hour,zip,load\n" + "".join(f"{i:02d},{i % 3 + 1066:05d},{i % 5}\n" for i in range(24)))
    with pytest.raises(ValueError, match=r"t\.csv: Column 'zip' has '01066', which starts with a zero, as codes do"):
        SeriesPreprocessing(4, time="hour").fit(path)
    steps = SeriesPreprocessing(4, time="hour", columns=("zip", "load")).steps(path)
    np.testing.assert_array_equal(steps.times, np.arange(24))
    np.testing.assert_array_equal(steps.values[:3, 0], [1066, 1067, 1068])
