"""Quality of a preparation: measures, verdict, picture and page."""
