"""``/v1/jobs``: a file in, 202 with a place to look out; progress, cancelling, and the result as a stream."""
