"""Names of members: whatever a key or a field is, a name that is safe, and that WebDataset gives back."""

import os
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from clipx.datasets.fields import split_member_name
from clipx.jobs.extraction.keys import safe_field, safe_key

CHARACTERS = st.one_of(
    st.sampled_from("a./\\_%\0 :~-\x7f\x85\u202e\ud800\ufeff"), st.characters(exclude_categories=()), st.just("ab")
)
TEXTS = st.one_of(
    st.lists(CHARACTERS, max_size=12).map("".join),
    st.lists(st.sampled_from(["..", ".", "", "a", "b.c", "__a__", "%", "%2E", "x" * 200, "é" * 90]), max_size=12).map(
        "/".join
    ),
)
SETTINGS = settings(max_examples=80, deadline=None)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("videos/2024.05/a.b_000001", "videos/2024.05/a%2Eb_000001"),
        ("видео/a_000000", "видео/a_000000"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/etc/passwd", "%2F/etc/passwd"),
        ("a//b", "a/%2F/b"),
        ("https://host/a.mp4?x=1_000000", "https%3A/%2F/host/a%2Emp4%3Fx=1_000000"),
        ("C:\\a", "C%3A%5Ca"),
        ("a\nb", "a%0Ab"),
        ("50%", "50%25"),
        ("__skipped__/a", "%5F_skipped__/a"),
        ("a/", "a%2F"),
        ("", "%"),
    ],
)
def test_names_of_keys(key, name):
    assert safe_key(key) == name


@SETTINGS
@given(TEXTS)
@example("__a__")
@example("/" * 3)
@example("a/" * 400)
def test_a_key_is_a_name_below_its_folder_that_webdataset_gives_back(key):
    name = safe_key(key)
    assert not name.startswith("/")
    assert os.path.normpath(name) == name
    assert ".." not in name.split("/")
    assert not re.search(r'[\x00-\x1f\x7f\\:*?"<>|]', name)
    assert len(name.encode()) <= 1000  # UTF-8 takes it
    assert all(len(part.encode()) <= 165 for part in name.split("/"))
    for field in ("npy", "000.jpg", "front.mp4"):
        assert base_plus_ext(f"{name}.{field}") == (name, field)
        assert split_member_name(f"{name}.{field}") == (name, field)


@SETTINGS
@given(TEXTS, TEXTS)
@example("a/", "a%2F")
@example("a//", "a/%2F")
@example("", "%")
@example("a.b", "a%2Eb")
@example("__a", "%5F_a")
@example("x" * 200, "x" * 201)
@example("a/" * 600, "a/" * 601)
def test_different_keys_have_different_names(first, second):
    assert (safe_key(first) == safe_key(second)) == (first == second)


def test_the_names_of_short_keys_are_all_different():
    alphabet = ["a", ".", "/", "%", "2", "E", "F", "_"]
    keys = [""]
    for _ in range(4):
        keys += [key + each for key in keys[-(len(alphabet) ** _) :] for each in alphabet]
    assert len({safe_key(key) for key in keys}) == len(set(keys)) == len(keys)


@SETTINGS
@given(TEXTS, TEXTS)
def test_fields_are_endings_that_webdataset_gives_back(first, second):
    name = safe_field(first)
    assert "/" not in name
    assert "\\" not in name
    assert len(name.encode()) <= 80
    assert base_plus_ext(f"a.{name}") == ("a", name)
    assert (safe_field(second) == name) == (first == second)
