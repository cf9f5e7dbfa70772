"""What HTTP asks of any answer, whoever gives it: content codings, and bodies that are kept and revalidated."""
