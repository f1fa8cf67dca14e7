"""Names of fields: what they are parsed to, and what is found under them."""

import pickle

import pytest

from clipx.datasets.fields import Field, extension_of


@pytest.mark.parametrize(
    ("name", "holder", "member"),
    [("mp4", "mp4", ""), ("npz:frames", "npz", "frames"), ("a.npz:b:c", "a.npz", "b:c"), ("npz:", "npz", "")],
)
def test_parse(name, holder, member):
    for field in (Field(name), Field(Field(name)), pickle.loads(pickle.dumps(Field(name)))):
        assert (field, field.holder, field.member) == (name, holder, member)
        assert type(field.holder) is type(str(field)) is str
        assert repr(field) == repr(name)


def test_lookup():
    members = {"frames": 1, "times": 2}
    field = Field("npz:frames")
    assert field.lookup({"npz": members}) is members
    assert field.get({"npz": members}) == 1
    assert field.is_member_in({"npz": members})
    # A field of exactly this name comes first.
    own = {"npz": members, "npz:frames": 3}
    assert field.lookup(own) == field.get(own) == 3
    assert not field.is_member_in(own)
    assert field.lookup({"mp4": b""}) is None
    assert Field("mp4").get({"mp4": b"x"}) == b"x"
    with pytest.raises(KeyError):
        Field("mp4").get({})


def test_put():
    sample, members = {}, {"times": 2}
    Field("mp4").put(sample, 1)
    Field("npz:frames").put(sample, 2)
    assert sample == {"mp4": 1, "npz": {"frames": 2}}
    assert all(type(name) is str for name in sample)
    sample = {"npz": members}
    Field("npz:frames").put(sample, 3)
    assert sample == {"npz": {"times": 2, "frames": 3}}
    assert members == {"times": 2}


def test_a_member_whose_holder_has_a_colon():
    field = Field.of_member("a:npz", 5)
    assert (field, field.holder, field.member) == ("a:npz:5", "a:npz", 5)
    assert pickle.loads(pickle.dumps(field)).holder == "a:npz"


def test_extensions():
    assert [extension_of(name) for name in ("mp4", "front.WAV", "a/b.tar.gz")] == ["mp4", "wav", "gz"]
