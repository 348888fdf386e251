"""The routes of the REST service: one function an endpoint."""
