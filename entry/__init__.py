"""Behind the doors: composing, refusing, building. Importing it stays cheap: --help must not wait for torch."""
