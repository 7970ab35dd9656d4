"""What the options before the command say."""


class _State:
    show_traceback = False


state = _State()
"""Of this process."""
