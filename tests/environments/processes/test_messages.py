"""Messages between a worker and its processes: what is sent arrives, whatever it is made of."""

from socket import socketpair
from threading import Thread

import numpy as np
import pytest

from environments.processes.messages import ConnectionLost, receive, send


@pytest.fixture
def pair():
    left, right = socketpair()
    with left, right:
        yield left, right


def through(pair, value):
    sender = Thread(
        target=send,
        args=(pair[0], value),
    )  # a large one does not fit into the socket's buffer
    sender.start()
    found = receive(pair[1])
    sender.join()
    return found


def test_nested_values_and_numbers_of_any_size(pair) -> None:
    value = {"a": [1, 2.5, None, True, "ä\0", 2**127], "b": {"c": {}}, "d": [], "inf": float("inf")}
    assert through(pair, value) == value
    assert through(pair, (1, np.float64(0.1), np.int32(3), np.bool_(True))) == [1, 0.1, 3, True]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (300, 400)])
def test_arrays_keep_their_bits_dtype_and_shape(pair, dtype, shape) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    for each in (array, array.T, np.asfortranarray(array)):
        found = through(pair, {"x": each, "y": [each]})
        for one in (found["x"], found["y"][0]):
            assert one.dtype == each.dtype and one.shape == each.shape
            np.testing.assert_array_equal(one, each)
            assert one.flags.writeable
    special = np.array([np.nan, -0.0, np.inf])
    assert through(pair, special).tobytes() == special.tobytes()


def test_arrays_of_objects(pair) -> None:
    value = np.full(3, None, dtype=object)
    value[1] = np.arange(4.0)
    found = through(pair, value)
    assert found.dtype == object and found[0] is None and found[2] is None
    np.testing.assert_array_equal(found[1], value[1])


def test_the_other_side_is_gone(pair) -> None:
    pair[0].close()
    with pytest.raises(ConnectionLost):
        receive(pair[1])
    with pytest.raises(ConnectionLost):
        for _ in range(3):
            send(pair[1], np.zeros(1000))
