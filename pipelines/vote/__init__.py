"""A blind vote between two students: which of two pictures of one prompt is better?"""
