"""Trained weights of other programs: their files read without them, their layouts put into networks of ours."""
