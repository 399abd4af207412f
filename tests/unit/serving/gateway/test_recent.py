import pytest

from serving.gateway.recent import KEPT_BYTES, RecentPictures


def test_the_oldest_pictures_are_forgotten_first_and_never_too_many_bytes_are_kept():
    recent, file = RecentPictures(), bytes(KEPT_BYTES // 4)
    names = [recent.add(file, "image/png") for _ in range(5)]
    assert len(set(names)) == 5
    assert [recent.get(name) is not None for name in names] == [False, True, True, True, True]
    assert recent.get(names[1]) == (file, "image/png")


def test_a_file_beyond_all_that_is_kept_is_refused_and_forgets_nothing():
    recent = RecentPictures()
    name = recent.add(b"x", "image/png")
    with pytest.raises(ValueError, match="too large"):
        recent.add(bytes(KEPT_BYTES + 1), "image/png")
    assert recent.get(name) is not None
