"""REST endpoints: one function a route."""
