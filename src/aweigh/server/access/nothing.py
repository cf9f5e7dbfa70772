"""What a page raises when there is nothing, or nothing for this person, at an address."""


class NotThere(Exception):  # noqa: N818  control flow: answered with a page that says so
    """No such page, person or key; or none that whoever asks may see."""
