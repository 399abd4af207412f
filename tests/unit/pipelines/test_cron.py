import pytest

from pipelines.cluster.cron import check_cron
from rats_train.errors import UserError


@pytest.mark.parametrize(
    "text",
    ["0 30 2 * * *", "*/15 * * * * *", "0 0 9 ? * mon-fri", "0 0,30 8-18/2 1 JAN,jul *", "0 0 0 31 12 0"],
)
def test_six_fields_are_accepted(text):
    check_cron(text, "cron")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("30 2 * * *", 'five fields.*write "0 30 2'),
        ("@daily", "write six fields"),
        ("0 0 24 * * *", "24 is no hour"),
        ("0 60 * * * *", "60 is no minute"),
        ("0 0 0 0 * *", "0 is no day of the month"),
        ("0 0 0 * 13 *", "13 is no month"),
        ("0 0 0 * * 7", "7 is no day of the week"),
        ("0 0 0 * * friday", "friday is no day of the week"),
        ("0 9-8 * * * *", "9-8 is no minute"),
        ("0 */0 * * * *", r"\*/0 is no minute"),
        ("0 *-5 * * * *", r"\*-5 is no minute"),
        ("0 0 0 * * *;x", r"\*;x is no day of the week"),
    ],
)
def test_anything_else_is_one_line_that_says_what_to_write(text, said):
    with pytest.raises(UserError, match=said):
        check_cron(text, "the cron of nightly")
