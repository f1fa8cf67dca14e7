"""Arrays of every kind of strides."""

import numpy as np


def padded(x):
    room = np.zeros(tuple(each + 3 for each in x.shape), x.dtype)
    seen = room[1:-2, 1:-2, 1:-2, 1:-2]
    seen[...] = x
    return seen


def unaligned(x):
    room = np.zeros(x.nbytes + 1, np.uint8)
    room[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return room[1:].view(x.dtype).reshape(x.shape)


def stored(x, *axes):
    """The same array, its dimensions stored in another order."""
    return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))


SEEN = {
    "as it is": lambda x: x,
    "every other frame": lambda x: x.repeat(2, 0)[::2],
    "every other row": lambda x: x.repeat(2, 1)[:, ::2],
    "every other column": lambda x: x.repeat(2, 2)[:, :, ::2],
    "every other channel": lambda x: x.repeat(2, 3)[..., ::2],
    "frames backwards": lambda x: x[::-1].copy()[::-1],
    "rows backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "columns backwards": lambda x: x[:, :, ::-1].copy()[:, :, ::-1],
    "channels backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "all backwards": lambda x: x[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "padded": padded,
    "channels of more": lambda x: np.concatenate([x, x], 3)[..., : x.shape[3]],
    "columns of more": lambda x: np.concatenate([x, x], 2)[:, :, : x.shape[2]],
    "Fortran": np.asfortranarray,
    "columns first": lambda x: stored(x, 0, 2, 1, 3),
    "channels first": lambda x: stored(x, 0, 3, 1, 2),
    "channels before time": lambda x: stored(x, 3, 0, 1, 2),
    "time last": lambda x: stored(x, 1, 2, 3, 0),
    "unaligned": unaligned,
    "one frame": lambda x: np.broadcast_to(x[:1], x.shape),
    "one row": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "one column": lambda x: np.broadcast_to(x[:, :, :1], x.shape),
    "one channel": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "one number": lambda x: np.broadcast_to(x[:1, :1, :1, :1], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}
