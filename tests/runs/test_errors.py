from adapterkit.runs.errors import UserError, nearest


def test_message_names_every_part_in_order():
    error = UserError(
        "No such task.", where="--task", found="bc5", allowed=["bc5cdr", "hoc"], hint="list them"
    )
    assert str(error).splitlines() == [
        "No such task.",
        "  where: --task",
        "  found: bc5",
        "  allowed: bc5cdr, hoc",
        "  to do: list them",
    ]


def test_parts_not_given_leave_no_line():
    assert str(UserError("Broken.")) == "Broken."


def test_a_sentence_of_allowed_values_is_not_split():
    assert UserError("x", allowed="steps 0 to 5").allowed == "steps 0 to 5"


def test_nearest_forgives_case_and_typos_but_not_everything():
    names = ["bc5cdr", "ncbi_disease", "hoc"]
    assert nearest("BC5CRD", names) == "bc5cdr"
    assert nearest("ncbi-disease", names) == "ncbi_disease"
    assert nearest("sentiment", names) is None
