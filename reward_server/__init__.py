"""One reward behind HTTP, for trainings elsewhere: `rats reward serve`."""
