"""The distributed engine: codes in Milvus, the record in SQLite."""
