"""Readers of data sources (DICOM, BIDS, ADNI, OASIS, tables): `Scan` records and a `Census`."""
