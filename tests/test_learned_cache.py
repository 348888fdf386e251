"""What is learned from a gallery is kept, but not without end."""

import os

from braincase.population.cache import MOST_FILES, cached
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
