"""Beside a PACS: a DICOM node that takes studies in and sends similar cases back."""
