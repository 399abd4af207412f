from rats_train.evaluation.summary import headlines, join_words, sentence
from rats_train.evaluation.verdict import judge


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


def test_sentences_name_cost_or_failure(make_card):
    good, bad = make_card(lead=0.1), make_card(lead=-0.1)
    assert "with 3, 5 or 8 network evaluations a picture where the 50-step teacher takes 100" in sentence(
        good, judge(good)
    )
    assert sentence(bad, judge(bad)).startswith("Not promoted: 3 of 12 conditions failed; held-out reward_b at 3 steps")


def test_join_words():
    assert [join_words(words) for words in (["3"], ["3", "5"], ["3", "5", "8"])] == ["3", "3 and 5", "3, 5 and 8"]
