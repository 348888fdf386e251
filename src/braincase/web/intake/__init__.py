"""The upload queue: scans are unpacked, prepared and embedded in a worker process, one by one."""
