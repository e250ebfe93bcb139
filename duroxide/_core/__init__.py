"""The pure core: values in, values out. Nothing below here reads a clock, a thread, a log or a database."""
