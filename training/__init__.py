"""One accelerate loop and the tasks it runs; the library never imports from here."""
