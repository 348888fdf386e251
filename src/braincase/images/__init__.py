"""Images and their geometry: headers, affines, volumes, planes and the atlas."""
