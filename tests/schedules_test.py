"""Values by the epoch."""

import keras
import numpy as np
import pytest

from aezoo import schedules
from aezoo.schedules import Constant, Linear, Step


def test_linear():
    ramp = Linear(start=1.0, end=0.0, epochs=4)
    assert [ramp(epoch) for epoch in range(7)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]
    assert [ramp(epoch) for epoch in range(7)] == list(np.interp(range(7), [0, 4], [1, 0]))
    assert ramp.maximum == 1.0
    assert Linear(0.0, 2.0, epochs=1).maximum == 2.0
    assert [Linear(0.0, 2.0, epochs=1)(epoch) for epoch in range(3)] == [0.0, 2.0, 2.0]


def test_step():
    step = Step(boundaries=[2, 3], values=[5, 9, 1])
    assert [step(epoch) for epoch in range(5)] == [5, 5, 9, 1, 1]
    assert step.maximum == 9
    assert Step([], [7])(100) == 7


def test_constant():
    assert Constant(3)(0) == Constant(3)(99) == Constant(3).maximum == 3


@pytest.mark.parametrize("schedule", [Constant(0.5), Linear(100, 25, 20), Step([5], [0.5, 0.9])], ids=repr)
def test_serialisation(schedule):
    again = schedules.get(schedules.serialize(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert eval(repr(schedule)) == schedule
    assert [again(epoch) for epoch in range(30)] == [schedule(epoch) for epoch in range(30)]
    assert schedule != Linear(0, 1, 3)


def test_numbers_are_constants_and_stay_numbers():
    assert schedules.get(2) == Constant(2)
    assert schedules.serialize(2) == 2
    assert schedules.serialize(None) is None


@pytest.mark.parametrize("value", ["0.5", None, True, [1, 2], lambda epoch: 1.0])
def test_what_is_no_schedule(value):
    with pytest.raises(TypeError, match=r"Expected a number or an aezoo\.schedules\.Schedule, but got"):
        schedules.get(value)


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.int64(3)], ids=repr)
def test_numbers_of_numpy_are_numbers(value):
    assert schedules.get(value)(0) == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(0, 1, epochs=0), "needs a whole number of epochs >= 1, but epochs=0"),
        (lambda: Step([1, 2], [0.1, 0.2]), "one more value than boundaries, but there are 2 values and 2 boundaries"),
        (lambda: Step([2, 1], [1, 2, 3]), "must increase, but they are"),
        (lambda: Step([2, 2], [1, 2, 3]), "must increase, but they are"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_scheduled_holds_the_value_in_a_variable():
    scheduled = schedules.Scheduled(Linear(4, 0, 4))
    assert scheduled.trainable_variables == []
    variable = scheduled.value
    for epoch in (0, 3, 1):
        scheduled.move_to(epoch)
        assert scheduled.value is variable
        assert float(variable.numpy()) == 4 - epoch


@keras.saving.register_keras_serializable("aezoo_tests")
class Halving(schedules.Schedule):
    """A schedule of the user's own, whose largest value is not known."""

    def __init__(self, start):
        self.start = start

    def __call__(self, epoch):
        return self.start / 2**epoch

    def get_config(self):
        return {"start": self.start}


def test_a_schedule_of_the_users_own():
    assert Halving(8).maximum == float("inf")
    assert schedules.get(schedules.serialize(Halving(8))) == Halving(8)
    for method in (lambda: schedules.Schedule()(0), lambda: schedules.Schedule().get_config()):
        with pytest.raises(NotImplementedError, match="Schedule must implement"):
            method()
