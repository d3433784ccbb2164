import random

from snakewebb.plan.persistence import Window, earlier_exposures


def test_earlier_exposures_are_those_of_the_definition():
    generator = random.Random(5)
    windows = []
    for number in range(300):
        start = generator.randrange(100) / 10
        windows.append(Window(start, generator.randrange(1, 3), start + generator.uniform(0, 3), f"e{number}"))
    windows.sort()
    expected = {
        own.root: [o.root for o in windows if (o.start, o.segment) < (own.start, own.segment) and o.end > own.start]
        for own in windows
    }
    assert earlier_exposures(windows) == expected
    assert sum(map(len, expected.values())) > 1000
