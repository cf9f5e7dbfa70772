"""Jobs: files that are answered in the background, wherever the server and its workers run.

The record of a job is the truth: whoever runs it holds a lease in it, and every change of it is made only if nobody
made another one in between. A queue merely carries the news that there is something to do.
"""
