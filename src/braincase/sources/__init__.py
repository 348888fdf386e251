"""Where scans come from: each reader yields `Scan` records and fills a `Census`."""
