"""Pictures as files: both formats, the same bytes every time, none of them in part."""

import pytest

from cmmlib.analysis import figures


def test_a_picture_is_saved_in_both_formats_with_the_same_bytes_every_time(ax, tmp_path):
    ax.plot([1, 2], [3, 4])
    written = figures.save(ax.figure, tmp_path / "new" / "picture")
    assert written == [tmp_path / "new" / "picture.png", tmp_path / "new" / "picture.pdf"]
    before = [path.read_bytes() for path in written]
    assert before[0].startswith(b"\x89PNG") and before[1].startswith(b"%PDF")
    assert [path.read_bytes() for path in figures.save(ax.figure, tmp_path / "new" / "picture")] == before


def test_a_picture_that_cannot_be_drawn_leaves_the_earlier_one(ax, tmp_path):
    (path, _) = figures.save(ax.figure, tmp_path / "picture")
    before = path.read_bytes()
    ax.set_title("$\\no$")  # mathtext knows no such symbol
    with pytest.raises(ValueError):
        figures.save(ax.figure, tmp_path / "picture")
    assert path.read_bytes() == before and {p.name for p in tmp_path.iterdir()} == {"picture.png", "picture.pdf"}
