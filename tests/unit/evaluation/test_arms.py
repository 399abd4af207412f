from rats_train.config import load_recipe
from rats_train.evaluation.arms import budgets, plan_arms
from rats_train.models.schedule import Schedule


def test_student_and_teacher_meet_on_the_students_noise_levels():
    arms = {arm.name: arm for arm in plan_arms(load_recipe("emoji"))}
    for steps in (3, 5, 8):
        expected = tuple(Schedule().ending_at(0.25).sigmas(steps).tolist())
        names = (f"student_{steps}", f"teacher_{steps}", f"teacher_{steps}_unguided")
        assert [arms[name].sigmas for name in names] == [expected] * 3
        assert [arms[name].evaluations for name in names] == [steps, 2 * steps, steps]
    assert arms["teacher_50"].sigmas == tuple(Schedule().sigmas(50).tolist())
    assert arms["student_50"].sigmas == tuple(Schedule().ending_at(0.25).sigmas(50).tolist())


def test_a_teacher_without_guidance_is_drawn_once():
    arms = plan_arms(load_recipe("emoji", ["teacher.guidance_scale=1"]))
    assert not [arm.name for arm in arms if "unguided" in arm.name]
    assert all(arm.evaluations == arm.steps for arm in arms)


def test_the_teachers_full_schedule_is_not_a_budget():
    recipe = load_recipe("emoji", ["student.steps=[4,8]", "teacher.steps=8"])
    assert budgets(recipe) == [4]
    names = [arm.name for arm in plan_arms(recipe)]
    assert len(names) == len(set(names))
