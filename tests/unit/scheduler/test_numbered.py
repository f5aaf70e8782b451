from dpip.scheduler.numbered import Numbered


def test_the_value_not_set_for_longest_makes_room_and_leaves_its_name() -> None:
    """So what is kept under the names is bounded too."""
    values: Numbered[str, int] = Numbered("n", most=2)
    values.set("a", 1)
    values.set("b", 2)
    [name_of_b] = [name for name, value in values.changed().items() if value == 2]
    values.set("a", 3)
    values.set("c", 4)
    assert (values.get("a"), values.get("b"), values.get("c")) == (3, None, 4)
    assert values.changed()[name_of_b] == 4


def test_only_what_was_set_since_has_changed() -> None:
    """Nothing is kept twice."""
    values: Numbered[str, int] = Numbered("n", most=3)
    values.set("a", 1)
    values.set("b", 2)
    values.changed()
    values.set("b", 3)
    assert list(values.changed().values()) == [3]
    assert values.changed() == {}


def test_a_restored_value_has_the_name_it_was_kept_under() -> None:
    """A name that is none, is taken, or would be a second for a key, is refused."""
    values: Numbered[str, int] = Numbered("n", most=3)
    assert values.restore("n-1", "a", 1)
    assert not values.restore("n-1", "b", 2)
    assert not values.restore("n-2", "a", 2)
    assert not values.restore("n-3", "c", 3)
    assert values.changed() == {}
    values.set("a", 5)
    assert values.changed() == {"n-1": 5}
