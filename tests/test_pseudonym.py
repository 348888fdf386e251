from __future__ import annotations

import stat

import pytest

from braincase.errors import UsageError
from braincase.sources.pseudonym import KEY_FILE, LENGTH, local_key, pseudonym, session_of
from refusals import refused


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_FILE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_the_same_person_and_key_give_the_same_name_and_others_do_not():
    assert pseudonym("4711", b"k" * 32) == pseudonym(" 4711 ", b"k" * 32)
    assert pseudonym("4711", b"k" * 32) != pseudonym("4712", b"k" * 32)
    assert pseudonym("4711", b"k" * 32) != pseudonym("4711", b"q" * 32)


def test_a_pseudonym_is_a_bids_label_without_collisions():
    names = {pseudonym(str(number), b"k" * 32) for number in range(20_000)}
    assert len(names) == 20_000
    assert all(len(name) == LENGTH and name.isalnum() for name in names)


def test_a_session_keeps_its_name_which_is_the_beginning_of_its_studys():
    study = pseudonym("1.2.840.113619", b"k" * 32)
    assert session_of(study) == pseudonym("1.2.840.113619", b"k" * 32, 8) == "5xbbjqn3"
    assert study.startswith(session_of(study))


def test_the_key_is_made_once_and_only_its_user_can_read_it(home):
    key = local_key()
    path = home / "braincase" / "pseudonym.key"
    assert local_key() == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_key_file_can_be_named(home, monkeypatch):
    (home / "k").write_bytes(b"x" * 16)
    monkeypatch.setenv(KEY_FILE, str(home / "k"))
    assert local_key() == b"x" * 16


def test_a_short_key_and_an_unreadable_one_are_usage_errors(home, monkeypatch):
    (home / "k").write_bytes(b"short")
    monkeypatch.setenv(KEY_FILE, str(home / "k"))
    with refused(UsageError, "too short"):
        local_key()
    monkeypatch.setenv(KEY_FILE, str(home))
    with refused(UsageError, "no key for pseudonyms"):
        local_key()
