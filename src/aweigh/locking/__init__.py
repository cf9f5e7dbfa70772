"""From a script, loose requirements or a model file to exact, hash-locked requirements, proven to import."""
