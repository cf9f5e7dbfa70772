"""Ray: batches scored by its Data, and bundles served by its Serve, on a cluster that runs."""
