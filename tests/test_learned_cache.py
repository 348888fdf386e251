"""What is learned from a gallery is kept, but not without end."""

import os

from braincase.population.cache import MOST_FILES, _evict, cached
from gallery_cases import filled_gallery


def test_questions_without_end_do_not_fill_the_disk(tmp_path):
    gallery = filled_gallery(tmp_path / "g", n_people=3)
    folder = gallery.cache_folder

    def ask(n):
        return cached(gallery, 1, "test", {"where": f"age > {n}"}, lambda: asked.append(n) or n)

    asked = []
    for n in range(MOST_FILES):
        assert ask(n) == n
    for age, path in enumerate(sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
        os.utime(path, (1000 + age, 1000 + age))
    assert ask(0) == 0  # the oldest, but used now
    assert asked == list(range(MOST_FILES))
    for n in range(1000, 1020):
        ask(n)
    assert len(list(folder.iterdir())) == MOST_FILES
    asked.clear()
    assert (ask(0), asked) == (0, [])
    assert (ask(1), asked) == (1, [1])
    gallery.close()


def test_a_file_that_another_search_removes_meanwhile_stops_no_eviction(tmp_path, monkeypatch):
    """A dangling link stands for it: it is listed and cannot be looked at."""
    monkeypatch.setattr("braincase.population.cache.MOST_FILES", 1)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    _evict(tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.exists()]) == 1
