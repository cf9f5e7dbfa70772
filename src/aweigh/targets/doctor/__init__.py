"""What would go wrong with a folder or a bundle on a platform, looked at before anything is sent there.

One module per subject, each with ``check``, which reads files and answers with findings; ``run.py`` and ``slug.py``
measure. Which of them a platform asks, and against which limits, is said in that platform's own folder.
"""
