"""The command line: arguments in, words out; one small module a verb."""
