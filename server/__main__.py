"""`python -m server`"""

import gc
import sys

# What is imported stays: to look through it for garbage, meanwhile and ever after, takes a fifth of a command's time.
gc.disable()

from server.cli import command_in, load_commands, main  # noqa: E402

load_commands(command_in(sys.argv[1:]))
gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
