"""Make the student the champion."""
