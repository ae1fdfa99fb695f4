"""Commands: arguments in, words out."""
