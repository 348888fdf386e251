from pathlib import Path

import pytest

from braincase.errors import UsageError
from braincase.gallery.url import MilvusUrl, parse_url


def test_a_url_is_a_folder_or_a_collection_with_its_record():
    assert parse_url("some/folder") == parse_url("sqlite:///some/folder") == Path("some/folder")
    assert parse_url("sqlite:////root/folder") == Path("/root/folder")
    whole = parse_url("milvus://host:19530/brains?record=/data/a%20b&index=hnsw&replicas=2")
    assert whole == MilvusUrl("host:19530", "brains", Path("/data/a b"), "hnsw", 2)
    assert parse_url(str(whole)) == MilvusUrl("host:19530", "brains", Path("/data/a b"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://host", "the unknown engine 'redis'"),
        ("milvus://host/brains?record=g", "an incomplete gallery URL"),
        ("milvus://host:x/brains?record=g", "an incomplete gallery URL"),
        ("milvus://host:19530?record=g", "an incomplete gallery URL"),
        ("milvus://host:19530/brains", "an incomplete gallery URL"),
        ("milvus://host:19530/two words?record=g", "an incomplete gallery URL"),
        ("milvus://host:19530/brains?record=g&index=ivf", "index=ivf"),
        ("milvus://host:19530/brains?record=g&replicas=0", "replicas=0"),
        ("milvus://host:19530/brains?record=g&shards=2", "the unknown part 'shards'"),
    ],
)
def test_what_is_no_gallery_url_is_refused(url, said):
    with pytest.raises(UsageError, match="expected") as error:
        parse_url(url)
    assert said in str(error.value)


def test_a_password_in_the_url_is_not_repeated():
    with pytest.raises(UsageError, match="BRAINCASE_MILVUS_TOKEN") as error:
        parse_url("milvus://me:secret@host:19530/brains?record=g")
    assert "secret" not in str(error.value)
