"""Quality control (QC) of preprocessing: measures, verdict, picture and page."""
