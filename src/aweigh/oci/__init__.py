"""Container images and registries: what an image is made of, how it is written down, and how it travels.

Nothing here knows of models: bundles and images alike are blobs, manifests that name them, and an index of those. The
formats are those of the Open Container Initiative (image-spec 1.1, distribution-spec 1.1) and Docker's schema 2, which
differ in their media types alone.
"""
