"""This machine in a platform's place: the processes of a Procfile, with its limits and its signals."""
