"""Two bundles behind one address: who is answered by which, what comes of it, and who may change that."""
