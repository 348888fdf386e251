"""A REST service over a gallery, and the reading room, its single-page application.

`braincase.web.app.build_app` makes the service from frozen `ServiceSettings`; its list of routes is
the site map. Nothing here imports torch: the function that loads the model and gives the encoder is
handed in, and runs in a worker process of its own.
"""
