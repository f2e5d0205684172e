"""Behind the commands: composing, checking, building. Importing it stays cheap: --help must not wait for torch."""
