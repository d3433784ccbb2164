from snakewebb.plan.works import canonical, digest


def test_the_order_of_keys_does_not_change_the_text_of_a_work():
    one = {"input": {"size": 1, "date": "x"}, "chain": [{"step": "a", "parameters": {"b": 1, "a": (2, 3)}}]}
    other = {"chain": [{"parameters": {"a": [2, 3], "b": 1}, "step": "a"}], "input": {"date": "x", "size": 1}}
    assert repr(canonical(one)) == repr(canonical(other))
    assert digest(one) == digest(other)
    assert repr(canonical(one)) != repr(canonical({**one, "chain": []}))
