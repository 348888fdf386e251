"""Uploaded scans: unpacked, prepared and embedded in a worker process, one after the other."""
