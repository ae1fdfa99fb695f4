"""What runs get wrong: kinds of error, mentions never seen, confusions, documents."""
