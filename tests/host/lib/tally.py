# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up what the suites of ./dev test left: tally.py FOLDER SUITE…

Of each suite there may be SUITE.list (lines `pass NAME` or `fail NAME`), SUITE.meson (meson's testlog.json: an object per line) and
SUITE.junit (pytest's JUnit file); SUITE.none says that no test of it was asked for. A suite without any result, a result that cannot be read and a test that was skipped count as
failures: nothing vanishes silently. The last line is `N passed, N failed`.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def from_list(path):
    for line in path.read_text().splitlines():
        outcome, name = line.split(' ', 1)
        yield name, outcome == 'pass', ''


def from_meson(path):
    for line in path.read_text().splitlines():
        test = json.loads(line)
        yield test['name'], test['result'] in ('OK', 'EXPECTEDFAIL'), test['result'].lower()


def from_junit(path):
    for case in ElementTree.parse(path).iter('testcase'):
        bad = next((child.tag for child in case if child.tag in ('failure', 'error', 'skipped')), None)
        yield f"{case.get('classname')}::{case.get('name')}", bad is None, bad or ''


READERS = {'list': from_list, 'meson': from_meson, 'junit': from_junit}


def results_of(folder, suite):
    found = False
    for ending, reader in READERS.items():
        path = folder / f'{suite}.{ending}'
        if not path.exists():
            continue
        try:
            for result in reader(path):
                found = True
                yield result
        except (ValueError, KeyError, ElementTree.ParseError) as error:
            yield f'the results in {path.name}', False, str(error)
    if not found and not (folder / f'{suite}.none').exists():
        yield f'the suite {suite}', False, 'left no results'


def main():
    folder = pathlib.Path(sys.argv[1])
    times = dict(line.split() for line in (folder / 'times').read_text().splitlines())
    passed = failed = 0
    failures = []
    print()
    for suite in sys.argv[2:]:
        # A test may appear twice, as an error at its end beside its own result; it is one failed test then.
        outcome = {}
        for name, good, why in results_of(folder, suite):
            if name not in outcome or not good:
                outcome[name] = (good, why)
        bad = [(suite, name, why) for name, (good, why) in outcome.items() if not good]
        print(f'{suite:6} {len(outcome) - len(bad):4} passed {len(bad):4} failed {times.get(suite, "?"):>5} s')
        passed += len(outcome) - len(bad)
        failed += len(bad)
        failures += bad
    for suite, name, why in failures:
        print(f'FAILED {suite}: {name}' + (f' ({why})' if why else ''))
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
