"""File history: what a file says about its camera, programs, dates and structure. Reads; judges nothing."""
