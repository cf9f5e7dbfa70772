"""SQL, the same in a file of this machine (SQLite) and in PostgreSQL.

A statement has ``?`` for its arguments. ``run`` is one statement, in a transaction of its own; ``together`` is several
in one. A *part* of the program owns tables and the statements that lead from each version of them to the next.
"""
