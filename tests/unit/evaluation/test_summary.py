import re

from rats_train.evaluation.summary import headlines, join_words, sentence
from rats_train.evaluation.verdict import Reason, judge


def test_headlines_are_the_three_claims(make_card):
    card = make_card()
    heldout, trained, correct = headlines(card)
    assert (heldout.metric, heldout.gap) == ("reward_b", card.nfe["3"]["reward_b"].gap)
    assert (trained.metric, trained.ci95) == ("reward_a", card.nfe["8"]["reward_a"].ci95_50)
    assert (correct.metric, correct.gap) == ("all_correct", card.quality["3"]["all_correct"].gap)
    assert trained.label == "student at 8 steps over the teacher at 50"


def test_without_a_verifier_the_heldout_reward_meets_the_full_teacher(make_scores, build_card):
    scores = make_scores()
    kinds = {name: kind for name, kind in scores.kinds.items() if kind != "verifier"}
    card = build_card(scores.model_copy(update={"kinds": kinds}))
    third = headlines(card)[2]
    assert (third.metric, third.gap) == ("reward_b", card.nfe["8"]["reward_b"].gap_50)


def test_sentences_name_cost_or_failure(make_scores, make_card):
    good, bad = (sentence(make_card(lead=lead), judge(make_scores(lead=lead), None)) for lead in (0.3, -0.3))
    assert good.startswith("Promoted: at 3, 5 and 8 steps the student beats its own teacher at the same steps on the ")
    assert "with 3, 5 or 8 network evaluations a picture where the 50-step teacher takes 100" in good
    assert re.match(r"Not promoted: \d+ of 19 conditions are not met; held-out rewards at all budgets: -", bad)


def test_sentences_name_the_champion_and_what_is_open(make_scores, make_card):
    verdict = judge(make_scores(lead=0.3), make_scores(lead=0.1))
    assert "the student beats the champion on the held-out reward" in sentence(make_card(), verdict)
    few = verdict.model_copy(update={"decision": "need more samples", "reasons": [a_reason("open")]})
    assert sentence(make_card(), few) == "Need more samples: 1 of 1 conditions are not met; as close as that."


def a_reason(state):
    return Reason(state=state, rule="close", metric="", budget=3, against="full teacher", text="as close as that")


def test_join_words():
    assert [join_words(words) for words in (["3"], ["3", "5"], ["3", "5", "8"])] == ["3", "3 and 5", "3, 5 and 8"]
