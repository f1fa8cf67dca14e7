"""Which samples fit beside each other."""

from clipx.loader.room import Room, Weight


def test_half_is_for_what_gives_clips():
    room = Room(100, 10)
    assert room.fits([Weight(30), Weight(20)])
    assert not room.fits([Weight(30), Weight(21)])
    assert not room.fits([Weight(1, decoder=6), Weight(1, decoder=5)])
    assert room.count_fitting([Weight(20)], [Weight(20), Weight(10), Weight(1), Weight(0)]) == 2
    assert room.count_fitting([], []) == 0


def test_reading_ahead():
    room = Room(100, 10)
    weights = [Weight(40), Weight(10), Weight(10)]
    for weight, has_room in zip(weights, (True, True, True)):
        room.add(weight)
        assert room.has_room == has_room
    room.add(Weight(1))
    assert (room.held, room.has_room) == (61, False)  # for another of 40
    room.remove(weights[0])
    assert (room.held, room.has_room) == (21, True)


def test_full():
    room = Room(100, 10)
    assert not room.is_full([])
    assert not room.is_full([Weight(50, decoder=10)])
    assert room.is_full([Weight(51)])
    assert room.is_full([Weight(1, decoder=11)])


def test_a_large_sample_comes_alone():
    room, small = Room(100, 10), Weight(10)
    room.add(small)
    assert room.is_large(51)
    assert not room.is_large(50)
    assert room.admits(51, [], waiting=False)
    assert not room.admits(51, [small], waiting=False)
    assert not room.admits(51, [], waiting=True)
    assert room.announce_large()
    assert not room.announce_large()
    assert room.is_full([small])  # until it is there
    room.add(Weight(51))
    assert not room.is_full([small])


def test_a_sample_that_grows_while_it_is_read():
    room, active = Room(100, 10), [Weight(30), Weight(20, decoder=15)]
    for weight in active:
        room.add(weight)
    # What decoders take beyond their bytes counts here.
    assert room.admits(45, active, waiting=True)
    assert not room.admits(46, active, waiting=True)
    # Nothing waits and another may give clips: then it is read, to see.
    assert not room.admits(46, active, waiting=False)
    assert room.admits(46, active[:1], waiting=False)
