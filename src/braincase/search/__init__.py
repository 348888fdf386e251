"""From a scan to its hits: read the query, embed it, find the nearest cases."""
