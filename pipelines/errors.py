"""What ends the command line beside a person's mistake and bad luck (`rats_train.errors`)."""


class StepFailedError(Exception):
    """A step ended by a fault of ours: one line that names the step, the fault and the log."""

    exit_code = 1
